import Foundation
import IngotSystem
import IngotTensors
import Testing

/// The whole road with the command: plan, quantize, check, convert.
@Suite struct RoadTests {
  @Test(arguments: ["int8", "int4", "int3", "mixed-4-8"])
  func planIsExactAndQuantizeIsDeterministic(_ recipe: String) throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    let planned = try Command.run("plan", Command.nano, "--recipe", recipe, "--json").json()["bytes"]?.int
    var files: [Data] = []
    for workers in ["1", "2", "8"] {
      let path = folder + "/\(workers).ingot"
      let outcome = try Command.run(
        "quantize", Command.nano, "--recipe", recipe, "-o", path, "--workers", workers)
      #expect(outcome.status == 0, "\(outcome.error)")
      files.append(try Data(contentsOf: URL(fileURLWithPath: path)))
    }
    #expect(planned == files[0].count, "plan is exact to the byte")
    #expect(files[0] == files[1] && files[0] == files[2], "the same bytes with 1, 2 and 8 workers")
    #expect(try Command.run("check", folder + "/1.ingot").status == 0)
  }

  @Test func verifyWritesTheModelCard() throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    let path = folder + "/mlx"
    #expect(try Command.run("quantize", Command.nano, "--recipe", "mlx-4bit", "-o", path).status == 0)
    let text = Command.repository.appending(path: "Tests/Fixtures/text/prose.txt").path
    let verify = ["verify", "--against", Command.nano, "--text", text, "--context", "64", "--card"]
    // The second measurement takes the place of the first.
    for chunks in ["1", "2"] {
      #expect(try Command.run(verify + ["--chunks", chunks, path]).status == 0)
      let card = try String(contentsOfFile: path + "/README.md", encoding: .utf8)
      #expect(card.components(separatedBy: "## Against m2-nano").count == 2)
      #expect(card.contains("KL divergence") && card.contains("\(chunks) context"))
      #expect(card.contains("base_model_relation: quantized"))
    }
    let file = folder + "/nano.ingot"
    _ = try Command.run("quantize", Command.nano, "-o", file)
    let refused = try Command.run(verify + [file])
    #expect(refused.status == 64 && refused.error.contains("README.md"))
  }

  @Test func checkFindsAFlippedBit() throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    let path = folder + "/x.ingot"
    _ = try Command.run("quantize", Command.nano, "-o", path)
    var bytes = try Data(contentsOf: URL(fileURLWithPath: path))
    let tensors = try Command.run("check", path, "--json").json()["tensors"]?.int
    #expect(tensors == 139)
    // In the middle of the last tensor, the head.
    bytes[bytes.count - 100_000] ^= 4
    try bytes.write(to: URL(fileURLWithPath: path))
    let outcome = try Command.run("check", path, "--json")
    #expect(outcome.status == 1)
    let problems = try outcome.json()["problems"]?.array
    #expect(problems?.count == 1)
    #expect(problems?.first?["tensor"] == "lm_head.weight")
  }

  /// A disk that is full in the middle: exit code 75, and the same command continues.
  @Test(.enabled(if: FileManager.default.fileExists(atPath: "/bin/sh")))
  func aRunWithoutRoomIsContinued() throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    let whole = try Command.run("quantize", Command.nano, "-o", folder + "/whole.ingot")
    #expect(whole.status == 0)
    // A limit of the size of files stands for a disk that ends: what lies behind it cannot be reserved.
    let command = "ulimit -f 20; trap '' XFSZ; exec \"$0\" quantize \"$1\" -o \"$2\""
    let shell = URL(fileURLWithPath: "/bin/sh")
    let refused = try Command.run(
      ["-c", command, Command.executable.path, Command.nano, folder + "/x.ingot"], program: shell)
    #expect(refused.status == 1 && refused.error.contains("room for"), "\(refused.error)")
    #expect(try Folder.names(folder) == ["whole.ingot"], "nothing is left")
  }

  @Test func refusesToOverwrite() throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    let path = folder + "/precious.ingot"
    try Data("not an artifact".utf8).write(to: URL(fileURLWithPath: path))
    let outcome = try Command.run("quantize", Command.nano, "-o", path)
    #expect(outcome.status == 1)
    #expect(outcome.error.contains("--force"))
    #expect(try String(contentsOfFile: path, encoding: .utf8) == "not an artifact")
    #expect(try Command.run("quantize", Command.nano, "-o", path, "--force").status == 0)
    #expect(try Folder.names(folder) == ["precious.ingot"])
  }

  @Test func convertRefusesWhatItWouldHaveToRound() throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    let path = folder + "/x.ingot"
    _ = try Command.run("quantize", Command.nano, "-o", path)
    let refused = try Command.run(
      "convert", path, "-o", folder + "/dense", "--format", "safetensors", "--json")
    #expect(refused.status == 1)
    let error = try refused.json()["error"]
    #expect(error?["tensor"]?.string != nil && error?["message"]?.string?.contains("--decode") == true)
    #expect(try Folder.names(folder) == ["x.ingot"])
    let decoded = try Command.run(
      "convert", path, "-o", folder + "/dense", "--format", "safetensors", "--decode", "bf16")
    #expect(decoded.status == 0, "\(decoded.error)")
    #expect(decoded.output.contains("rounded to BF16"))
    let json = try Command.run("inspect", folder + "/dense", "--json").json()
    #expect(json["bytesByDType"]?["F8_E4M3"] == nil)
    #expect(json["parameters"]?["total"] == 8_007_200)
  }

  @Test func findsModelsInTheHuggingFaceCache() throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    let root = folder + "/hub/models--MiniMaxAI--MiniMax-Nano"
    let files = FileManager.default
    for part in ["refs", "blobs", "snapshots/0123abc"] {
      try files.createDirectory(atPath: root + "/" + part, withIntermediateDirectories: true)
    }
    try Data("0123abc\n".utf8).write(to: URL(fileURLWithPath: root + "/refs/main"))
    for name in try Folder.names(Command.nano) where Folder.kind(Command.nano + "/" + name) == .file {
      try files.copyItem(atPath: Command.nano + "/" + name, toPath: root + "/blobs/" + name + "-hash")
      try files.createSymbolicLink(
        atPath: root + "/snapshots/0123abc/" + name, withDestinationPath: "../../blobs/" + name + "-hash")
    }
    let outcome = try Command.run(
      ["inspect", "MiniMaxAI/MiniMax-Nano", "--json"], environment: ["HF_HOME": folder, "HF_HUB_CACHE": ""])
    #expect(outcome.status == 0, "\(outcome.error)")
    #expect(try outcome.json()["layers"] == 4)
    // A link that leaves the cache is refused.
    let config = root + "/snapshots/0123abc/config.json"
    try files.removeItem(atPath: config)
    try files.createSymbolicLink(atPath: config, withDestinationPath: Command.nano + "/config.json")
    let refused = try Command.run(
      ["quantize", "MiniMaxAI/MiniMax-Nano", "--recipe", "int4", "-o", folder + "/x.ingot"],
      environment: ["HF_HOME": folder, "HF_HUB_CACHE": ""])
    #expect(refused.status == 1 && refused.error.contains("symbolic link"), "\(refused.error)")
  }
}
