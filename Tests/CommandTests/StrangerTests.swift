import Foundation
import IngotSystem
import IngotTensors
import Testing

/// What someone meets who comes from other tools.
@Suite struct StrangerTests {
  @Test(arguments: [
    (["quantize", "x", "--imatrix", "y", "-o", "z"], "--importance FILE"),
    (["quantize", "x", "--q-bits", "4", "-o", "z"], "--recipe NAME"),
    (["quantize", "x", "--outtype", "q8_0"], "--recipe NAME"),
    (["quantize", "x", "--outfile", "z"], "-o PATH"),
    (["verify", "x", "-t", "4"], "--threads N"),
    (["imatrix", "x"], "ingot calibrate MODEL"), (["info", "x"], "ingot inspect MODEL"),
    (["perplexity", "x"], "ingot verify"),
  ])
  func namesOfOtherToolsAreKnown(_ arguments: [String], _ word: String) throws {
    let outcome = try Command.run(arguments)
    #expect(outcome.status == 64 && outcome.error.contains("hint: "), "\(outcome.error)")
    #expect(outcome.error.contains(word), "\(outcome.error)")
  }

  @Test func programsGetTheErrorOfEveryExitCode() throws {
    for (arguments, status, word) in [
      (["plan", Command.nano, "--recipes", "int4"], 64 as Int32, "--recipes"),
      (["quantize", Command.nano, "-o", "x.gguf", "--recipe", "mlx-4bit"], 64, "mlx"),
      (["plan", Command.nano, "--fit", "1MB"], 1, "nothing fits"),
      (["inspect", "nothing-there"], 1, "nothing"),
    ] {
      let outcome = try Command.run(arguments + ["--json"])
      #expect(outcome.status == status, "\(arguments): \(outcome.error)")
      let message = try outcome.json()["error"]?["message"]?.string ?? ""
      #expect(message.contains(word), "\(arguments): \(message)")
    }
  }

  @Test func enginesAndRecipesInLettersOfEitherCase() throws {
    for engine in ["mlx", "MLX", "VLLM", "Llama.cpp"] {
      #expect(try Command.run("plan", Command.nano, "--engine", engine).status == 0, "\(engine)")
    }
  }

  @Test func inspectSaysHowEachRoleIsStored() throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    let made = folder + "/x.gguf"
    #expect(try Command.run("quantize", Command.nano, "--recipe", "q4_k_m", "-o", made).status == 0)
    let text = try Command.run("inspect", made)
    let down = try #require(text.output.split(separator: "\n").first { $0.hasPrefix("down ") })
    #expect(down.contains("q4_k") && down.contains("q6_k"), "\(down)")
    let roles = try Command.run("inspect", made, "--json").json()["encodingsByRole"]
    #expect(
      roles?["down"]?.object?.count == 2 && roles?["router"]?["f32"]?.int == 32768,
      "\(String(describing: roles))")
  }

  @Test func noSizeIsShownAsNothing() throws {
    for arguments in [
      ["plan", Command.nano], ["plan", Command.nano, "--machine", "mac-96"],
      ["plan", Command.nano, "--fit", "mac-96"],
    ] {
      let outcome = try Command.run(arguments)
      #expect(outcome.status == 0 && !outcome.output.contains("0.0 GB"), "\(outcome.output)")
      #expect(outcome.output.split(separator: "\n").allSatisfy { $0.count <= 100 }, "\(outcome.output)")
      #expect(
        !outcome.output.split(separator: "\n").contains { $0.hasPrefix("mac-") && $0.contains(" 0.0 ") },
        "\(outcome.output)")
    }
  }

  /// Every number of bits that MLX has.
  @Test(arguments: [2, 3, 4, 5, 6, 8]) func recipesForMLX(_ bits: Int) throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    let made = try Command.run(
      "quantize", Command.nano, "--recipe", "mlx-\(bits)bit", "-o", folder + "/x", "--json")
    let size = try #require(made.json()["bitsPerWeight"]?.double)
    #expect(abs(size - Double(bits) - 0.5) < 0.1, "\(size)")
    let config = try JSON.parse(
      Array(Data(contentsOf: URL(fileURLWithPath: folder + "/x/config.json"))), path: "c")
    #expect(config["quantization"]?["bits"]?.int == bits)
  }
}
