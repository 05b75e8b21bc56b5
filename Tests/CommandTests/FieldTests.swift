import Foundation
import IngotSystem
import IngotTensors
import Testing

/// What users of other tools ran into: names, limits of the system, outputs that nobody takes.
@Suite struct FieldTests {
  private static let text = Command.repository.appending(path: "Tests/Fixtures/text/prose.txt").path

  /// Runs a line of the shell, in which `$INGOT` is the command.
  private func shell(_ line: String, _ environment: [String: String] = [:]) throws -> Command.Outcome {
    try Command.run(
      ["-c", line],
      environment: environment.merging(["INGOT": Command.executable.path, "NANO": Command.nano]) { $1 },
      program: URL(fileURLWithPath: "/bin/bash"))
  }

  @Test(arguments: [
    (["--recipe", "q8_0"], "x.ingot", [".ingot", "gguf"]),
    (["--recipe", "mlx-4bit"], "x.ingot", [".ingot", "folder"]),
    (["--recipe", "w4a16"], "x.gguf", [".gguf", "folder"]),
    (["--recipe", "w4a16"], "x.safetensors", ["folder"]),
    (["--recipe", "q8_0"], "x", [".gguf", "x.gguf"]),
    (["--recipe", "int4"], "x", [".ingot"]),
    (["--recipe", "int4"], "x.gguf", [".ingot", "q4_k_m"]),
    (["--recipe", "int8", "--format", "mlx"], "x", [".ingot", "mlx-4bit"]),
  ]) func nameOfAnotherFormat(_ options: [String], _ name: String, _ words: [String]) throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    let outcome = try Command.run(["quantize", Command.nano, "-o", folder + "/" + name] + options)
    #expect(outcome.status == 64, "\(outcome.error)")
    for word in words { #expect(outcome.error.contains(word), "\(word): \(outcome.error)") }
    #expect(try Folder.names(folder).isEmpty)
  }

  @Test func recipeByTheNameOfTheOutput() throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    for (arguments, recipe) in [
      (["-o", folder + "/x.gguf"], "q4_k_m"), (["-o", folder + "/x.ingot"], "int4"),
      (["-o", folder + "/x", "--format", "mlx"], "mlx-4bit"),
    ] {
      let outcome = try Command.run(["quantize", Command.nano, "--json"] + arguments)
      #expect(outcome.status == 0, "\(outcome.error)")
      #expect(try outcome.json()["recipe"]?.string == recipe)
      #expect(try Command.run("inspect", arguments[1]).status == 0)
    }
  }

  /// Each command in a form that ends soon; `verify` keeps its state for the report, the others begin anew.
  private static let commands = [
    "recipes", "recipes int4", "recipes --json", "inspect $NANO", "inspect $NANO --tensors", "check $NANO",
    "inspect $NANO --render $OUT/chat.jsonl",
    "plan $NANO", "plan $NANO --recipe int4 --json", "--help", "quantize --help", "--version",
    "quantize $NANO -o $OUT/x.ingot", "assemble $OUT/shares -o $OUT/z.ingot --force",
    "convert $NANO -o $OUT/y --decode bf16 --json",
    "calibrate $NANO --text $TEXT --context 32 --chunks 1 -o $OUT/x.calib",
    "sensitivity $NANO --text $TEXT --context 32 --chunks 1 --quick --sample 1 -o $OUT/x.sens",
    "sensitivity $NANO --text $TEXT --context 32 --chunks 1 --quick --sample 1 --shard 1/2 -o $OUT/measured",
    "sensitivity $NANO --text $TEXT --chunks 1 --cost -o $OUT/x.sens",
    "logits $NANO --tokens $OUT/ids.json -o $OUT/l.safetensors",
    "generate $NANO --raw --prompt The -n 3", "fit $NANO --machine 1GB --dry-run",
    "verify $NANO --against $NANO --text $TEXT --context 16 --chunks 1 --state $OUT/state",
  ]

  /// A folder with what these read.
  private func inputs(for command: String = "") throws -> String {
    let folder = try Folder.temporary()
    if command.hasPrefix("assemble") {
      let share = try Command.run("quantize", Command.nano, "--shard", "1/1", "-o", folder + "/shares")
      #expect(share.status == 0, "\(share.error)")
    }
    try Data("[[1, 2, 3, 4]]".utf8).write(to: URL(fileURLWithPath: folder + "/ids.json"))
    try Data(#"{"messages": [{"role": "user", "content": "How hot?"}]}"#.utf8).write(
      to: URL(fileURLWithPath: folder + "/chat.jsonl"))
    return folder
  }

  @Test func everyCommandIsTried() throws {
    let help = try Command.run("--help").output
    for command in [
      "inspect", "plan", "calibrate", "sensitivity", "quantize", "convert", "verify", "logits", "check",
      "recipes", "fit", "generate", "assemble",
    ] {
      #expect(help.contains("\n  \(command) ") && Self.commands.contains { $0.hasPrefix(command) })
    }
    let listed = help.split(separator: "\n").drop { $0 != "SUBCOMMANDS:" }.filter {
      $0.hasPrefix("  ") && !$0.hasPrefix("   ") && !$0.hasPrefix("  See")
    }
    // And serve, which prints no result.
    #expect(listed.count == 14, "\(listed)")
  }

  #if os(Linux)
    @Test(arguments: commands) func outputThatNobodyTakes(_ arguments: String) throws {
      let folder = try inputs(for: arguments)
      defer { Folder.remove(folder) }
      for target in [">/dev/full", ">&-"] {
        let outcome = try shell("$INGOT \(arguments) \(target)", ["OUT": folder, "TEXT": Self.text])
        #expect(
          outcome.status == (arguments.hasPrefix("verify") ? 75 : 1),
          "\(arguments) \(target): \(outcome.error)")
        #expect(outcome.error.contains("standard output"), "\(arguments) \(target): \(outcome.error)")
        for name in try Folder.names(folder) where !["ids.json", "chat.jsonl", "shares"].contains(name) {
          Folder.remove(folder + "/" + name)
        }
      }
    }
  #endif

  /// The reader has gone before the first byte: no word, and the shell's own status of SIGPIPE at most.
  @Test(arguments: commands) func readerThatGoesAway(_ arguments: String) throws {
    let folder = try inputs(for: arguments)
    defer { Folder.remove(folder) }
    let outcome = try shell(
      "set -o pipefail; $INGOT \(arguments) 2> $OUT/err | true; status=$?; cat $OUT/err >&2; exit $status",
      ["OUT": folder, "TEXT": Self.text])
    #expect([0, 141].contains(outcome.status), "\(arguments): \(outcome.status) \(outcome.error)")
    #expect(
      !outcome.error.contains("error"), "\(arguments): \(outcome.error)")
  }

  #if os(Linux)
    /// Little address space: a result, or an error that says what to raise. No command looks for memory for ever; the limit of
    /// processor time ends one that does.
    @Test(arguments: commands.filter { !$0.contains("recipes") && !$0.contains("help") })
    func littleAddressSpace(_ arguments: String) throws {
      let folder = try inputs(for: arguments)
      defer { Folder.remove(folder) }
      for megabytes in [150, 300, 700] {
        let outcome = try shell(
          "ulimit -v \(megabytes * 1024) -t 120; $INGOT \(arguments)", ["OUT": folder, "TEXT": Self.text])
        #expect([0, 1].contains(outcome.status), "\(arguments) in \(megabytes) MB: \(outcome)")
        #expect(
          outcome.status == 0 || outcome.error.contains("ulimit -v"),
          "\(arguments) in \(megabytes) MB: \(outcome.error)")
      }
    }
  #endif

  /// As many shards as large models have, where few files may be open.
  @Test func moreShardsThanOpenFiles() throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    let split = try Command.run(
      "convert", Command.nano, "-o", folder + "/many", "--format", "safetensors", "--split-size", "20kB")
    #expect(split.status == 0, "\(split.error)")
    let shards = try Folder.names(folder + "/many").filter { $0.hasSuffix(".safetensors") }
    #expect(shards.count > 100, "\(shards.count)")
    for line in [
      "ulimit -n 48; $INGOT quantize $OUT/many -o $OUT/x.ingot",
      "ulimit -n 48; $INGOT convert $NANO -o $OUT/again --format safetensors --split-size 20kB",
      "ulimit -n 48; $INGOT check $OUT/many",
    ] {
      let outcome = try shell(line, ["OUT": folder])
      #expect(outcome.status == 0, "\(line): \(outcome.error)")
    }
    #expect(try Command.run("quantize", Command.nano, "-o", folder + "/y.ingot").status == 0)
    let sizes = try ["/x.ingot", "/y.ingot"].map { try File(reading: folder + $0).size() }
    #expect(sizes[0] > 0 && sizes[1] > 0)
    #expect(try Folder.names(folder + "/again") == Folder.names(folder + "/many"))
  }

  @Test func pagesAndTextsAreNotReplaced() throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    try FileManager.default.copyItem(atPath: Self.text, toPath: folder + "/t.txt")
    let text = try Data(contentsOf: URL(fileURLWithPath: folder + "/t.txt"))
    let artifact = folder + "/me.ingot"
    #expect(try Command.run("quantize", Command.nano, "-o", artifact).status == 0)
    let before = try Data(contentsOf: URL(fileURLWithPath: artifact))
    let verify = [
      "verify", artifact, "--against", Command.nano, "--text", folder + "/t.txt", "--context", "16",
      "--chunks", "1",
      "--force",
    ]
    for commands in [
      ["calibrate", Command.nano, "--text", folder + "/t.txt", "-o", folder + "/t.txt", "--force"],
      verify + ["--html", artifact], verify + ["--html", folder + "/t.txt"], verify + ["--state", artifact],
      verify + ["--state", folder + "/t.txt"],
      ["quantize", artifact, "-o", artifact, "--force"], ["convert", artifact, "-o", artifact, "--force"],
    ] {
      let outcome = try Command.run(commands)
      #expect(outcome.status == 1, "\(commands): \(outcome.output)")
      #expect(outcome.error.contains("which is being read"), "\(commands): \(outcome.error)")
      #expect(try Data(contentsOf: URL(fileURLWithPath: artifact)) == before)
      #expect(try Data(contentsOf: URL(fileURLWithPath: folder + "/t.txt")) == text)
    }
    #expect(try Folder.names(folder) == ["me.ingot", "t.txt"])
  }
}
