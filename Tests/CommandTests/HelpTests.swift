import Foundation
import IngotSystem
import IngotTensors
import Testing

@Suite struct HelpTests {
  @Test(arguments: [
    "inspect", "plan", "calibrate", "sensitivity", "quantize", "convert", "verify", "logits", "check",
    "recipes", "fit", "generate", "serve", "assemble",
  ])
  func helpOfCommand(_ name: String) throws {
    let outcome = try Command.run(name, "--help", environment: ["COLUMNS": "100"])
    #expect(outcome.status == 0)
    // The default number of workers is the machine's.
    let text = outcome.output.replacing(/threads. \(default: \d+\)/, with: "threads. (default: N)")
    #expect(text.split(separator: "\n").allSatisfy { $0.count <= 100 }, "lines of at most 100 columns")
    try expectSnapshot(text, "help-\(name)")
  }

  @Test func helpOfAll() throws {
    let outcome = try Command.run("--help", environment: ["COLUMNS": "100"])
    #expect(outcome.status == 0)
    try expectSnapshot(outcome.output, "help")
  }

  @Test(arguments: [
    ["quantize"], ["frobnicate"], ["inspect", Command.nano, "--claim", "weight=3"],
    ["quantize", Command.nano, "-o", "/tmp/x.ingot", "--workers", "0"],
    ["quantize", Command.nano, "-o", "/tmp/x.gguf", "--format", "no-such-format"],
    ["quantize", Command.nano, "-o", "/tmp/x.ingot", "--split-size", "-3GB"],
  ])
  func usageFaultsExit64(_ arguments: [String]) throws {
    let process = try Command.run(arguments)
    #expect(process.status == 64, "\(arguments): \(process.error)")
    #expect(process.output.isEmpty, "nothing on standard output")
    #expect(!process.error.isEmpty)
  }
}
