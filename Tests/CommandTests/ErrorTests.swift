import Foundation
import IngotSystem
import IngotTensors
import Testing

/// Texts of errors as users meet them.
@Suite struct ErrorTests {
  @Test func nothingThere() throws {
    let outcome = try Command.run("inspect", "no/such/model", environment: ["HF_HUB_CACHE": "/cache"])
    #expect(outcome.status == 1)
    try expectSnapshot(outcome.error, "error-nothing-there")
  }

  @Test func pickle() throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    for name in ["config.json", "pytorch_model.bin"] {
      try Data("{}".utf8).write(to: URL(fileURLWithPath: folder + "/" + name))
    }
    let outcome = try Command.run("inspect", folder)
    #expect(outcome.status == 1)
    #expect(
      outcome.error.contains("pytorch_model.bin") && outcome.error.contains("pickle"), "\(outcome.error)")
  }

  @Test func errorsInJSON() throws {
    let outcome = try Command.run("plan", Command.nano, "--recipe", "no-such-recipe", "--json")
    #expect(outcome.status == 1)
    let error = try outcome.json()["error"]
    #expect(error?["path"] == "no-such-recipe")
    #expect(error?["expected"]?.string != nil && error?["found"] != nil && error?["message"] != nil)
    #expect(error?.object?.keys == ["path", "tensor", "offset", "expected", "found", "message", "remedy"])
    #expect(outcome.error.hasPrefix("error: no-such-recipe"))
  }

  /// Numbers of a config that forward passes cannot take: the key and what it is, before anything is read.
  @Test(arguments: ["1e300", "0", "-1e-6", "\"1e-6\""])
  func epsilonThatF32DoesNotHold(_ value: String) throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    try FileManager.default.copyItem(atPath: Command.nano, toPath: folder + "/model")
    let path = folder + "/model/config.json"
    let text = try String(contentsOfFile: path, encoding: .utf8)
    let changed = try text.replacing(
      Regex("\"rms_norm_eps\": *[0-9.e-]+"), with: "\"rms_norm_eps\": \(value)")
    #expect(changed != text)
    try changed.write(toFile: path, atomically: true, encoding: .utf8)
    for arguments in [
      ["inspect", folder + "/model"], ["quantize", folder + "/model", "-o", folder + "/x.ingot"],
    ] {
      let outcome = try Command.run(arguments)
      #expect(outcome.status == 1, "\(outcome.output) \(outcome.error)")
      for word in ["config.json", "rms_norm_eps", "a positive number that F32 holds"] {
        #expect(outcome.error.contains(word), "\(word): \(outcome.error)")
      }
    }
    #expect(try Folder.names(folder) == ["model"])
  }

  @Test func nanInTheSourceStopsAndLeavesNothing() throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    let model = folder + "/model"
    try FileManager.default.copyItem(atPath: Command.nano, toPath: model)
    // FP8's NaN as the first code of an expert's weight in the second shard.
    let shard = URL(fileURLWithPath: model + "/model-00002-of-00004.safetensors")
    var bytes = try Data(contentsOf: shard)
    let length = bytes.prefix(8).enumerated().reduce(0) { $0 | Int($1.element) << (8 * $1.offset) }
    let header = try JSON.parse(Array(bytes[8..<8 + length]), path: shard.path).object
    let name = try #require(header?.keys.first { $0.hasSuffix("experts.3.w1.weight") })
    let begin = try #require(header?[name]?["data_offsets"]?.array?.first?.int)
    bytes[8 + length + begin] = 0x7F
    try bytes.write(to: shard)
    let outcome = try Command.run("quantize", model, "-o", folder + "/x.ingot")
    #expect(outcome.status == 1)
    for word in ["model-00002-of-00004.safetensors", "tensor '\(name)'", "expert 3", "element [0, 0]", "nan"]
    {
      #expect(outcome.error.contains(word), "\(word) in: \(outcome.error)")
    }
    #expect(try Folder.names(folder) == ["model"], "nothing left behind")
    let allowed = try Command.run("quantize", model, "-o", folder + "/x.ingot", "--allow-nonfinite")
    #expect(allowed.status == 0)
    #expect(allowed.error.contains("1 values not finite, replaced by 0"), "\(allowed.error)")
  }

  #if os(Linux)
    /// Hours of work must not end in a report that nobody gets: its state stays, and the exit code says that it may be continued.
    @Test func aReportThatCannotBePrintedIsAnError() throws {
      let folder = try Folder.temporary()
      defer { Folder.remove(folder) }
      let command =
        "exec \"$0\" verify \"$1\" --against \"$1\" --chunks 1 --context 16 --text \"$1/text/heldout-agentic.txt\" "
        + "--state \"$2/state\""
      let arguments = [Command.executable.path, Command.nano, folder]
      let shell = URL(fileURLWithPath: "/bin/sh")
      let full = try Command.run(["-c", command + " > /dev/full"] + arguments, program: shell)
      #expect(full.status == 75 && full.error.contains("standard output"), "\(full.status): \(full.error)")
      #expect(try Folder.names(folder) == ["state", "state.journal"])
      let again = try Command.run(["-c", command] + arguments, program: shell)
      #expect(again.status == 0 && again.output.contains("predictions scored"), "\(again.error)")
      #expect(try Folder.names(folder) == [])
    }
  #endif
}
