import Foundation
import IngotSystem
import IngotTensors
import Testing

@Suite struct CalibrateTests {
  static let text = Command.repository.appending(path: "Tests/Fixtures/text/prose.txt").path
  static let code = Command.repository.appending(path: "Tests/Fixtures/text/code.txt").path

  static func arguments(_ output: String, _ more: String...) -> [String] {
    ["calibrate", Command.nano, "--text", text, code, "-o", output, "--context", "64"] + more
  }

  static func bytes(_ path: String) throws -> Data { try Data(contentsOf: URL(fileURLWithPath: path)) }

  /// Runs the command with a limit on the size of files, which kills it wherever it comes to write behind it, or lets it
  /// have an error there.
  static func run(_ arguments: [String], kilobytes: Int, killing: Bool = true) throws -> Command.Outcome {
    let script = "\(killing ? "" : "trap '' XFSZ; ")ulimit -f \(kilobytes); exec \"$0\" \"$@\""
    return try Command.run(
      ["-c", script, Command.executable.path] + arguments, program: URL(fileURLWithPath: "/bin/bash"))
  }

  @Test(arguments: [("calib", true), ("calib", false), ("gguf", true)])
  func aRunThatEndedEarlyGoesOnAndGivesTheSameBytes(_ suffix: String, _ killing: Bool) throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    let whole = folder + "/whole.\(suffix)"
    let options = ["--chunks", "1", "--until-covered", "60"]
    let first = try Command.run(Self.arguments(whole) + options)
    #expect(first.status == 0, "\(first.error)")
    // Again and again, each time a little further on, in the middle of a write.
    let path = folder + "/x.\(suffix)"
    var ended = 0
    var isDone = false
    for limit in stride(from: 60, to: 8000, by: 300) {
      let outcome = try Self.run(Self.arguments(path) + options, kilobytes: limit, killing: killing)
      if outcome.status == 0 {
        isDone = true
        break
      }
      ended += 1
      #expect(Folder.kind(path) == .nothing)
      if !killing {
        #expect(
          outcome.status == 75 && outcome.error.contains("the same command"), "\(outcome.error)")
      }
    }
    #expect(isDone && ended >= 3, "\(ended) runs ended early")
    #expect(try Self.bytes(path) == Self.bytes(whole))
    #expect(try Folder.names(folder) == ["whole.\(suffix)", "x.\(suffix)"])
  }

  /// A model's own text: of a seed, whatever the number of threads, and again where a run goes on.
  @Test func aModelMakesItsOwnText() throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    func calibrate(_ name: String, _ more: String...) throws -> JSON {
      let outcome = try Command.run(
        [
          "calibrate", Command.nano, "--generate", "6", "-o", folder + "/" + name, "--context", "48",
          "--json",
        ] + more)
      #expect(outcome.status == 0, "\(outcome.error)")
      return try outcome.json()
    }
    let first = try calibrate("x.calib", "--threads", "1")
    #expect(
      first["contexts"]?.int == 6 && first["tokens"]?.int == 288 && first["contextsLeft"]?.int == 0,
      "\(first)")
    _ = try calibrate("y.calib", "--threads", "3")
    #expect(try Self.bytes(folder + "/x.calib") == Self.bytes(folder + "/y.calib"))
    _ = try calibrate("z.calib", "--seed", "1")
    #expect(try Self.bytes(folder + "/x.calib") != Self.bytes(folder + "/z.calib"))
    _ = try calibrate("w.calib", "--text", Self.text, Self.code)
    #expect(try Self.bytes(folder + "/x.calib") != Self.bytes(folder + "/w.calib"))
    let artifact = folder + "/x.ingot"
    let quantized = try Command.run(
      "quantize", Command.nano, "-o", artifact, "--recipe", "int4", "--importance", folder + "/x.calib")
    #expect(quantized.status == 0, "\(quantized.error)")
    for (words, expected) in [
      ([], "--text"), (["--generate", "0"], "--generate"),
      (["--text", Self.text, "--seed", "1"], "--generate"),
      (["--generate", "2", "--all-contexts"], "--all-contexts"),
    ] {
      let outcome = try Command.run(["calibrate", Command.nano, "-o", folder + "/v.calib"] + words)
      #expect(outcome.status == 64 && outcome.error.contains(expected), "\(words): \(outcome.error)")
    }
  }

  @Test func aSignalStopsBehindALayer() throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    let (whole, path) = (folder + "/whole.calib", folder + "/x.calib")
    #expect(try Command.run(Self.arguments(whole)).status == 0)
    // The shell asks as soon as the run has begun.
    let script = """
      "$0" "$@" & while ! [ -e \(path).partial.journal ] && kill -0 $!; do :; done; kill -TERM $!; wait $!
      """
    let stopped = try Command.run(
      ["-c", script, Command.executable.path] + Self.arguments(path),
      program: URL(fileURLWithPath: "/bin/bash"))
    #expect(stopped.status == 75, "\(stopped.error)")
    #expect(
      stopped.error.contains("stopping at the end") && stopped.error.contains("run the same command again"))
    #expect(try Command.run(Self.arguments(path)).status == 0)
    #expect(try Self.bytes(path) == Self.bytes(whole))
  }

  @Test func anUnfinishedRunOfOtherThingsIsRefused() throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    let copy = folder + "/text.txt"
    try FileManager.default.copyItem(atPath: Self.text, toPath: copy)
    let model = folder + "/model"
    try FileManager.default.copyItem(atPath: Command.nano, toPath: model)
    let path = folder + "/x.calib"
    func arguments(_ context: String) -> [String] {
      ["calibrate", model, "--text", copy, "-o", path, "--context", context, "--chunks", "4"]
    }
    let killed = try Self.run(arguments("64"), kilobytes: 900)
    #expect(killed.status != 0 && Folder.kind(path + ".partial.journal") == .file)
    let context = try Command.run(arguments("32"))
    #expect(context.status == 1 && context.error.contains("context 64") && context.error.contains("found 32"))
    let whole = try Self.bytes(copy)
    try (whole + Data("more\n".utf8)).write(to: URL(fileURLWithPath: copy))
    let text = try Command.run(arguments("64"))
    #expect(text.status == 1 && text.error.contains("texts[0].sha256"), "\(text.error)")
    try whole.write(to: URL(fileURLWithPath: copy))
    let shard = URL(fileURLWithPath: model + "/model-00002-of-00004.safetensors")
    let weights = try Data(contentsOf: shard)
    try (weights.dropLast() + [weights.last! ^ 1]).write(to: shard)
    let source = try Command.run(arguments("64"))
    #expect(source.status == 1 && source.error.contains("model.files[1]"), "\(source.error)")
    // Once it is wanted, it begins anew.
    #expect(try Command.run(arguments("32") + ["--force"]).status == 0)
    #expect(try Folder.names(folder) == ["model", "text.txt", "x.calib"])
    let there = try Command.run(arguments("64"))
    #expect(there.status == 1 && there.error.contains("--force"))
  }

  @Test func coverageIsReported() throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    let drawn = try Command.run(
      Self.arguments(folder + "/a.calib", "--chunks", "1", "--until-covered", "30", "--json")
    ).json()
    let coverage = drawn["coverage"]
    let rounds = coverage?["contextsDrawn"]?.array?.compactMap(\.int) ?? []
    #expect(rounds.first == 2 && rounds.count > 1, "\(rounds)")
    #expect(rounds.last == drawn["contexts"]?.int && coverage?["uncovered"]?.array?.isEmpty == true)
    let experts = drawn["layers"]?.array?.flatMap { $0["experts"]?.array ?? [] } ?? []
    #expect(experts.count == 32)
    for expert in experts {
      #expect((expert["tokens"]?.int ?? 0) + (expert["forcedTokens"]?.int ?? 0) >= 30)
      for key in ["gateMass", "effectiveRank", "unseenEnergy", "innerPeak", "outputPeak"] {
        #expect(expert[key]?.double != nil, "\(key)")
      }
    }
    // Without --chunks there is no more text: tokens are forced.
    let forced = try Command.run(
      Self.arguments(folder + "/b.calib", "--until-covered", "100000", "--experts"))
    #expect(forced.status == 0 && forced.output.contains("forced: "), "\(forced.output.suffix(300))")
    #expect(forced.output.contains("32 experts have fewer than 100,000: the texts have no more tokens"))
  }

  @Test func conversationsAreTexts() throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    let path = folder + "/chat.jsonl"
    let line = """
      {"messages": [{"role": "user", "content": "Where is the tide table? It is not in the drawer."}, \
      {"role": "assistant", "content": null, "tool_calls": [{"id": "1", "type": "function", "function": \
      {"name": "look", "arguments": "{\\"place\\": \\"desk\\"}"}}]}, \
      {"role": "tool", "tool_call_id": "1", "content": "one table"}, \
      {"role": "assistant", "content": "On the desk."}]}
      """
    try Data((line + "\n\n" + line + "\r\n").utf8).write(to: URL(fileURLWithPath: path))
    let outcome = try Command.run(
      "calibrate", Command.nano, "--text", path, "-o", folder + "/x.calib", "--context", "32", "--json")
    #expect(outcome.status == 0, "\(outcome.error)")
    #expect(try outcome.json()["contexts"]?.int ?? 0 >= 2)
    // A list in one file is the same conversations, so the statistics are the same.
    let list = folder + "/chats.json"
    try Data("[\(line), \(line)]".utf8).write(to: URL(fileURLWithPath: list))
    let same = try Command.run(
      "calibrate", Command.nano, "--text", list, "-o", folder + "/z.calib", "--context", "32", "--json")
    #expect(same.status == 0, "\(same.error)")
    #expect(try same.json()["contexts"] == outcome.json()["contexts"])
    // The template may refuse; what is no conversation is refused before.
    let strict = folder + "/strict.jinja"
    try Data(
      """
      {%- for m in messages -%}{%- if m.role not in ['user', 'assistant', 'tool'] -%}
      {{- raise_exception('Unknown role ' ~ m.role) -}}{%- endif -%}{{- m.content -}}{%- endfor -%}
      """.utf8
    ).write(to: URL(fileURLWithPath: strict))
    try Data((line + "\n{\"messages\": [{\"role\": \"wizard\"}]}\n").utf8).write(
      to: URL(fileURLWithPath: path))
    let refused = try Command.run(
      "calibrate", Command.nano, "--text", path, "-o", folder + "/y.calib", "--context", "32",
      "--chat-template",
      strict)
    #expect(refused.status == 1, "\(refused.error)")
    #expect(
      refused.error.contains("line 2") && refused.error.contains("Unknown role wizard")
        && refused.error.contains("strict.jinja"), "\(refused.error)")
    #expect(
      try Folder.names(folder) == ["chat.jsonl", "chats.json", "strict.jinja", "x.calib", "z.calib"])
  }

  /// Multiplies F32 tensors of a checkpoint in place.
  ///
  /// - Parameter count: only so many values of each, from the first; nil for all.
  static func scale(_ model: String, _ factors: [String: Float], first count: Int? = nil) throws {
    var left = factors
    for name in try Folder.names(model) where name.hasSuffix(".safetensors") && name.hasPrefix("model-") {
      let url = URL(fileURLWithPath: model + "/" + name)
      var bytes = Array(try Data(contentsOf: url))
      let length = bytes.prefix(8).enumerated().reduce(0) { $0 | Int($1.element) << (8 * $1.offset) }
      let header = try JSON.parse(Array(bytes[8..<8 + length]), path: name)
      for (tensor, factor) in left {
        guard let range = header[tensor]?["data_offsets"]?.array?.compactMap(\.int) else { continue }
        let end = count.map { min(range[0] + 4 * $0, range[1]) } ?? range[1]
        for place in stride(from: 8 + length + range[0], to: 8 + length + end, by: 4) {
          let bits = (0..<4).reduce(UInt32(0)) { $0 | UInt32(bytes[place + $1]) << UInt32(8 * $1) }
          let value = (Float(bitPattern: bits) * factor).bitPattern
          for byte in 0..<4 { bytes[place + byte] = UInt8(truncatingIfNeeded: value >> UInt32(8 * byte)) }
        }
        left[tensor] = nil
      }
      try Data(bytes).write(to: url)
    }
    #expect(left.isEmpty)
  }

  @Test func anOverflowingExpertIsNamedAndRescued() throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    // The same function, 2^14 times as loud between up and down.
    let model = folder + "/model"
    try FileManager.default.copyItem(atPath: Command.nano, toPath: model)
    let expert = "model.layers.1.block_sparse_moe.experts.3."
    let factor = Float(1 << 14)
    try Self.scale(
      model, [expert + "w3.weight_scale_inv": factor, expert + "w2.weight_scale_inv": 1 / factor])
    let statistics = folder + "/x.calib"
    let calibrated = try Command.run(
      "calibrate", model, "--text", Self.text, Self.code, "-o", statistics, "--context", "64")
    #expect(calibrated.status == 0)
    let warnings = calibrated.error.split(separator: "\n").filter {
      $0.contains("before its down projection, more than F16 holds")
    }
    #expect(warnings.count == 1 && warnings[0].contains("layer 1, expert 3: "), "\(calibrated.error)")
    // Before the rescue its down projection is so small that scales of F16 do not hold it.
    let recipe = folder + "/int8.yaml"
    try Data("name: int8\nsummary: scales of BF16\nrules:\n  - {encoding: int8 g32 zero bf16}\n".utf8)
      .write(to: URL(fileURLWithPath: recipe))
    func quantized(_ name: String, _ more: [String] = []) throws -> String {
      let path = folder + "/" + name
      let outcome = try Command.run(
        ["quantize", model, "-o", path, "--recipe", recipe, "--importance", statistics] + more)
      #expect(outcome.status == 0, "\(outcome.error)")
      #expect(outcome.output.contains("layer 1, expert 3: rescued") == more.contains("--rescue-overflow"))
      return path
    }
    func peak(_ path: String) throws -> Double {
      let json = try Command.run(
        "calibrate", path, "--text", Self.text, Self.code, "-o", path + ".calib", "--context", "64", "--json"
      ).json()
      return json["layers"]?.array?[1]["experts"]?.array?[3]["innerPeak"]?.double ?? 0
    }
    #expect(try peak(quantized("loud.ingot")) > 65504)
    for (name, more) in [("a.ingot", []), ("b.ingot", ["--without", "scaling"])] {
      let path = try quantized(name, ["--rescue-overflow"] + more)
      let peak = try peak(path)
      #expect(peak > 0 && peak <= 65504, "\(name): \(peak)")
      let report = try Command.run(
        "verify", path, "--against", model, "--text", Self.text, "--context", "64", "--json"
      ).json()
      let divergence = report["klDivergence"]?["mean"]?.double ?? 1
      #expect(divergence < 0.01, "\(name): the function stays: \(divergence)")
    }
    let idle = try Command.run("quantize", model, "-o", folder + "/c.ingot", "--rescue-overflow")
    #expect(idle.status == 64 && idle.error.contains("importance"))
  }
}
