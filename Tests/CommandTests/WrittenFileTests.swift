import Foundation
import IngotSystem
import IngotTensors
import IngotWorkflows
import Testing

/// `inspect` knows whatever a command writes or prints with --json.
@Suite struct WrittenFileTests {
  /// A command, the file that it writes ("" for what it prints), and words that `inspect` says of that.
  private static let writers: [(command: String, file: String, words: [String])] = [
    (
      "calibrate $NANO --text $TEXT --context 32 --chunks 2 -o x.calib --json", "x.calib",
      [
        "calibration statistics", "ingot calibrate", "m2-nano (4 layers, 8 experts",
        "quantize MODEL --importance x.calib",
      ]
    ),
    (
      "calibrate $NANO --text $TEXT --context 32 --chunks 1 -o i.gguf --json", "i.gguf",
      ["importance matrix", "GGUF", "calibrate", "--importance i.gguf"]
    ),
    (
      "calibrate $NANO --text $TEXT --context 32 --chunks 1 -o i.dat", "i.dat",
      ["importance matrix", "old form", "calibrate"]
    ),
    (
      "sensitivity $NANO --text $TEXT --context 32 --chunks 1 --quick --sample 1 -o x.sens --json", "x.sens",
      ["sensitivity file", "ingot sensitivity", "m2-nano (4 layers", "ingot plan MODEL --sensitivity x.sens"]
    ),
    (
      "sensitivity $NANO --text $TEXT --chunks 1 --cost --json -o no.sens", "",
      ["cost", "sensitivity --cost"]
    ),
    (
      "plan $NANO --sensitivity x.sens --bits 4.5 -o plan.json --html plan.html --json", "plan.json",
      ["a plan", "m2-nano (4 layers", "bits per weight", "quantize MODEL --plan plan.json"]
    ),
    (
      "plan $NANO --sensitivity x.sens --bits 4.4 --html plan2.html", "plan2.html",
      ["a page of", "plan", "browser"]
    ),
    ("plan $NANO --recipe int4 --html recipe.html --json", "recipe.html", ["a page of", "recipe", "int4"]),
    ("plan $NANO --html fits.html --json", "fits.html", ["a page of what fits where"]),
    (
      "plan $NANO --machine mac-96 --html machine.html --json", "machine.html",
      ["a page of what fits a machine", "mac-96"]
    ),
    ("quantize $NANO -o x.ingot --json", "", ["what was quantized", "int4", "ingot verify"]),
    (
      "quantize $NANO --shard 1/1 -o shares --json", "shares/share-1-of-1.ingotshare",
      ["a share of an artifact", "1 of 1", "quantize --shard", "ingot assemble"]
    ),
    ("assemble shares -o z.ingot --json", "", ["what was quantized", "int4"]),
    (
      "sensitivity $NANO --text $TEXT --context 32 --chunks 1 --quick --sample 1 --shard 1/1 -o measured --json",
      "measured/sensitivity-1-of-1.ingotpart",
      ["a share of a sensitivity measurement", "1 of 1", "sensitivity --shard", "ingot assemble"]
    ),
    (
      "sensitivity $NANO --text $TEXT --context 32 --chunks 1 --quick --sample 1 --shard 1/2 -o half --json",
      "",
      ["a share that was made", "1 of 2", "ingot sensitivity", "ingot assemble"]
    ),
    (
      "assemble measured -o again.sens --json", "again.sens",
      ["sensitivity file", "ingot plan MODEL --sensitivity again.sens"]
    ),
    (
      "verify x.ingot --against $NANO --text $TEXT --context 32 --chunks 1 --shard 1/1 -o compared --json",
      "compared/verification-1-of-1.ingotpart", ["a share of a verification", "1 of 1", "verify --shard"]
    ),
    ("quantize $NANO -o mlx --recipe mlx-4bit --json", "mlx/README.md", ["a model card", "m2-nano"]),
    ("convert $NANO -o dense --decode bf16 --json", "", ["what was converted", "ingot check"]),
    (
      "verify x.ingot --against $NANO --text $TEXT --context 32 --chunks 1 --html v.html --json", "v.html",
      ["a page of a verification", "x.ingot", "mean KL divergence"]
    ),
    (
      "logits $NANO --tokens ids.json -o l.safetensors --json", "l.safetensors",
      ["logits", "ingot logits", "m2-nano", "vocabulary"]
    ),
    ("check x.ingot --json", "", ["what a check found", "faults", "0"]),
    ("generate $NANO --raw --prompt The -n 3 --json", "", ["what a model said", "text"]),
    ("fit $NANO --machine 1GB --dry-run --json", "", ["what would be made for a machine", "1GB", "recipe"]),
    (
      "fit $NANO --machine 1GB --hours 1 -o made --json", "made/fit.json",
      ["the record of a fit", "model.gguf", "measured KL divergence"]
    ),
    (
      "fit $NANO --machine 1GB --hours 1 -o made > out.txt", "made/README.md",
      ["a model card", "made"]
    ),
    ("inspect $NANO --json", "", ["what a model is", "minimax-m2"]),
    ("inspect $NANO --tensors --json", "", ["the tensors of a model's files"]),
    ("inspect plan.json --json", "", ["what a file is", "a plan"]),
    ("inspect $NANO --render chat.jsonl --json", "", ["conversations as the model reads them"]),
    ("recipes --json", "", ["the list of recipes"]),
    ("recipes int4 > r.yaml", "r.yaml", ["a recipe", "int4", "--recipe r.yaml"]),
    ("inspect no-such-model --json", "", ["an error", "no-such-model"]),
  ]

  private static let text = Command.repository.appending(path: "Tests/Fixtures/text/prose.txt").path

  private func shell(_ line: String, in folder: String) throws -> Command.Outcome {
    try Command.run(
      ["-c", "cd \"$OUT\" && \(line)"],
      environment: [
        "INGOT": Command.executable.path, "NANO": Command.nano, "OUT": folder, "TEXT": Self.text,
      ],
      program: URL(fileURLWithPath: "/bin/bash"))
  }

  @Test func everyWriterIsRecognized() throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    try Data("[[1, 2, 3, 4]]".utf8).write(to: URL(fileURLWithPath: folder + "/ids.json"))
    try Data(#"{"messages": [{"role": "user", "content": "How hot?"}]}"#.utf8).write(
      to: URL(fileURLWithPath: folder + "/chat.jsonl"))
    for (number, writer) in Self.writers.enumerated() {
      let printed = "out-\(number).json"
      let redirect = writer.command.contains(">") ? "" : " > \(printed)"
      let made = try shell("$INGOT \(writer.command)\(redirect)", in: folder)
      #expect(made.status == 0 || writer.command.contains("no-such"), "\(writer.command): \(made.error)")
      var files = [writer.file].filter { !$0.isEmpty }
      if writer.command.hasSuffix("--json") || writer.file.isEmpty { files.append(printed) }
      for file in files {
        let known = try shell("$INGOT inspect \(file)", in: folder)
        #expect(known.status == 0, "\(writer.command), \(file): \(known.error)")
        #expect(known.output.contains("made by"), "\(writer.command), \(file): \(known.output)")
        let words = file == printed && !writer.file.isEmpty ? [] : writer.words
        for word in words { #expect(known.output.contains(word), "\(file), \(word): \(known.output)") }
        let json = try shell("$INGOT inspect \(file) --json", in: folder).json()
        #expect(
          json["kind"]?.string?.isEmpty == false && json["figures"]?.object != nil && json["use"] != nil)
      }
    }
    // A command that comes to be must come to the list.
    let help = try Command.run("--help").output
    let commands = help.split(separator: "\n").drop { $0 != "SUBCOMMANDS:" }.dropFirst().prefix {
      $0.hasPrefix("  ")
    }
    .compactMap { line in
      line.dropFirst(2).first == " " ? nil : line.split(separator: " ").first.map(String.init)
    }
    // A server runs until it is stopped, and writes nothing.
    .filter { $0 != "See" && $0 != "serve" }
    #expect(commands.count >= 10)
    for command in commands {
      #expect(Self.writers.contains { $0.command.hasPrefix(command + " ") }, "\(command)")
    }
    // A file in the place of another one is called by its name.
    for (line, words) in [
      ("quantize $NANO --plan x.sens -o y.ingot", ["a sensitivity file", "expected a plan"]),
      (
        "quantize $NANO --importance plan.json -o y.ingot",
        ["a plan", "calibration statistics or an importance matrix"]
      ),
      (
        "plan $NANO --sensitivity plan.json --bits 4",
        ["expected a sensitivity file", "found a plan", "'ingot inspect plan.json'"]
      ),
      ("quantize $NANO --plan plan.html -o y.ingot", ["expected a plan", "found a page of"]),
      (
        "sensitivity $NANO --text $TEXT --chunks 1 --importance x.sens -o y.sens",
        ["found a sensitivity file"]
      ),
    ] {
      let outcome = try shell("$INGOT \(line)", in: folder)
      #expect(outcome.status == 1, "\(line): \(outcome.output)")
      for word in words { #expect(outcome.error.contains(word), "\(line), \(word): \(outcome.error)") }
    }
    #expect(Folder.kind(folder + "/y.ingot") == .nothing && Folder.kind(folder + "/y.sens") == .nothing)
  }

  /// Other JSON, text and broken files are none of ours.
  @Test func otherFilesAreRefused() throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    for (name, text) in [
      ("a.json", "{\"a\": 1}"), ("b.json", "[1, 2]"), ("c.html", "<html><body>x</body></html>"),
      ("d.txt", "text"),
      ("e.json", "{\"plan\""), ("f.yaml", "a: 1\n"), ("g.bin", ""), ("h.dat", "\u{1}\u{0}\u{0}\u{0}"),
    ] {
      try Data(text.utf8).write(to: URL(fileURLWithPath: folder + "/" + name))
      let outcome = try Command.run("inspect", folder + "/" + name)
      #expect(
        outcome.status == 1 && outcome.error.contains(name), "\(name): \(outcome.output) \(outcome.error)")
    }
  }

  @Test(arguments: [
    ("calibrate $NANO --text $TEXT -o x.ingot", [".ingot", "x.calib", "ingot quantize"]),
    ("calibrate $NANO --text $TEXT -o x.sens", [".sens", "x.calib", "ingot sensitivity"]),
    ("calibrate $NANO --text $TEXT -o folder", ["folder/NAME.calib"]),
    ("calibrate $NANO --text $TEXT -o new/", ["new/NAME.calib", "is a folder"]),
    ("sensitivity $NANO --text $TEXT -o x.calib", [".calib", "x.sens", "ingot calibrate"]),
    ("sensitivity $NANO --text $TEXT -o x.gguf", [".gguf", "x.sens"]),
    ("plan $NANO --sensitivity x.sens --bits 4 -o x.ingot", ["x.json", "ingot quantize"]),
    ("plan $NANO --sensitivity x.sens --bits 4 -o folder", ["folder/NAME.json"]),
    ("plan $NANO --recipe int4 --html x.json", ["--html", "x.html", "ingot plan"]),
    ("plan $NANO --html folder", ["--html", "folder/NAME.html"]),
    ("logits $NANO --tokens ids.json -o x.gguf", ["x.safetensors"]),
    ("logits $NANO --tokens ids.json -o x.calib", ["x.safetensors", "ingot calibrate"]),
    ("verify $NANO --against $NANO --text $TEXT --html x.gguf", ["--html", "x.html"]),
    ("quantize $NANO -o x.sens", ["x.sens", "suffix"]),
  ]) func namesOfOtherKinds(_ line: String, _ words: [String]) throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    try FileManager.default.createDirectory(atPath: folder + "/folder", withIntermediateDirectories: true)
    try Data("[[1, 2, 3, 4]]".utf8).write(to: URL(fileURLWithPath: folder + "/ids.json"))
    let outcome = try shell("$INGOT \(line)", in: folder)
    #expect(outcome.status == 64, "\(line): \(outcome.error)")
    for word in words { #expect(outcome.error.contains(word), "\(line), \(word): \(outcome.error)") }
    #expect(try Folder.names(folder).sorted() == ["folder", "ids.json"])
  }

  @Test func anUnfinishedOutputIsSaid() async throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    let stopped = try CalibrateTests.run(
      CalibrateTests.arguments(folder + "/x.calib", "--chunks", "1"), kilobytes: 360, killing: false)
    #expect(stopped.status == 75, "\(stopped.error)")
    let outcome = try Command.run("inspect", folder + "/x.calib")
    #expect(outcome.status == 0 && outcome.output.contains("not finished"), "\(outcome.error)")
    let journal = try Command.run("inspect", folder + "/x.calib.partial.journal")
    #expect(journal.output.contains("journal") && journal.output.contains("x.calib"), "\(journal.error)")
    // A model that is half written: no name of it is there, and its parts are none.
    for (name, recipe) in [("y.ingot", "int4"), ("y.gguf", "q8_0"), ("y", "mlx-4bit")] {
      var request = QuantizeRequest(Command.nano, to: folder + "/" + name)
      request.choice = .recipe(recipe)
      let error = try await InterruptedRunTests.interrupted(request, after: 20)
      #expect(error?.isResumable == true, "\(name): \(String(describing: error))")
      let said = try Command.run("inspect", folder + "/" + name)
      #expect(said.status == 0 && said.output.contains("not finished"), "\(name): \(said.error)")
      #expect(said.output.contains("--force"), "\(name): \(said.output)")
      #expect(try Command.run("check", folder + "/" + name).status == 1)
    }
  }
}
