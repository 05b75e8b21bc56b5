import Foundation
import IngotSystem
import IngotTensors
import Testing

@Suite struct InspectTests {
  @Test func textOfEmbeddedModel() throws {
    let outcome = try Command.run("inspect", "Tests/Fixtures/m2-nano")
    #expect(outcome.status == 0, "\(outcome.error)")
    try expectSnapshot(outcome.output, "inspect-nano")
  }

  @Test func keysThatProgramsRead() throws {
    let json = try Command.run("inspect", Command.nano, "--json").json()
    #expect(json["family"] == "minimax-m2")
    #expect(json["layers"] == 4)
    #expect(json["hiddenSize"] == 256)
    #expect(json["contextLength"] == 4096)
    #expect(json["slidingWindow"] == .null)
    #expect(json["qkNorm"] == "per_layer")
    #expect(json["experts"]?["count"] == 8)
    #expect(json["experts"]?["active"] == 2)
    #expect(json["experts"]?["shared"] == 0)
    // 8,007,168 trained values and 4 × 8 correction biases.
    #expect(json["parameters"]?["total"] == 8_007_200)
    #expect(json["bytes"] == 9_085_760)
    #expect(json["kvCacheBytesPerToken"] == 1024)
    #expect(json["attention"] != nil && json["bytesByDType"]?["F8_E4M3"] != nil && json["claims"] == [])
  }

  /// The full-size header set: 96,103 tensors in about 130 files of holes.
  @Test func fullSizeMiniMaxM2() throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    let model = folder + "/m2"
    let made = try Command.run(
      ["make-checkpoint", model, "--sparse"], program: Command.repository.appending(path: "scripts/tools"))
    try #require(made.status == 0, "\(made.error)")
    let json = try Command.run("inspect", model, "--json").json()
    #expect(json["parameters"]?["total"] == 228_689_764_864)
    #expect(json["parameters"]?["active"] == 9_801_359_872)
    #expect(json["bytes"] == 230_121_630_720)
    #expect(json["kvCacheBytesPerToken"] == 253_952)

    let plan = try Command.run("plan", model, "--recipe", "mixed-4-8", "--json").json()
    let rows = plan["rows"]?.array ?? []
    #expect(rows.reduce(0) { $0 + ($1["tensors"]?.int ?? 0) } == 48_239)
    #expect(plan["tensorBytes"]?.int == rows.reduce(0) { $0 + ($1["bytes"]?.int ?? 0) })

    let fits = try Command.run("plan", model, "--json").json()["cells"]?.array ?? []
    func longest(_ machine: String, _ recipe: String) -> Int? {
      fits.first { $0["machine"]?.string == machine && $0["recipe"]?.string == recipe }?["longestContext"]?
        .int
    }
    #expect(longest("mac-512", "q8_0") == 196_608, "all of it")
    #expect(longest("mac-96", "q4_k_m") == nil, "138 GB")
    #expect((longest("mac-192", "mlx-4bit") ?? 0) > 65_536)
    let table = try Command.run("plan", model).output
    #expect(table.split(separator: "\n").allSatisfy { $0.count <= 100 }, "\(table)")
    let best =
      try Command.run("plan", model, "--fit", "128GB", "--context", "64k", "--json").json()["choices"]?.array
      ?? []
    let bits = best.compactMap { $0["bitsPerWeight"]?.double }
    #expect(!bits.isEmpty && bits == bits.sorted(by: >))
    #expect(best.allSatisfy { ($0["weights"]?.int ?? 0) + ($0["cache"]?.int ?? 0) <= 128_000_000_000 })
    #expect(try Command.run("plan", model, "--fit", "20GB").status == 1)
    #expect(try Command.run("plan", model, "--machine", "mac-97").status == 64)
    for option in ["--machine", "--fit"] {
      let one = try Command.run("plan", model, option, "mac-192", "--context", "2k", "--json").json()
      #expect(one["machine"]?["name"] == "mac-192" && one["context"] == 2048 && one["cache"] == "f16")
      let choices = try #require(one["choices"]?.array)
      #expect(choices.contains { $0["recipe"] == "q4_k_m" && $0["fits"] == true }, "\(choices.count)")
    }

    let claims = Command.repository.appending(path: "examples/claims-minimax-m2.yaml").path
    let sheet = try Command.run("inspect", model, "--claims", claims, "--json")
    #expect(sheet.status == 2, "a sheet in circulation does not hold")
    let verdicts = try sheet.json()["claims"]?.array ?? []
    let layers = verdicts.first { $0["claim"]?.string?.hasPrefix("layers=") ?? false }
    #expect(layers?["holds"] == false && layers?["actual"] == "62")
    let held = try Command.run(
      "inspect", model, "--claim", "total=229B", "--claim", "active=9.8B", "--claim", "experts=256",
      "--claim", "context=192k", "--claim", "positions=rope", "--claim", "slidingWindow=none")
    #expect(held.status == 0, "\(held.output)")
  }

  /// A file with keys and no tensors, as vocabularies are published.
  @Test func aVocabularyAlone() throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    func little<T: FixedWidthInteger>(_ value: T) -> [UInt8] {
      (0..<T.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
    }
    func text(_ text: String) -> [UInt8] { little(UInt64(text.utf8.count)) + Array(text.utf8) }
    var file = Array("GGUF".utf8) + little(UInt32(3)) + little(UInt64(0)) + little(UInt64(2))
    file += text("general.architecture") + little(UInt32(8)) + text("llama")
    file += text("tokenizer.ggml.model") + little(UInt32(8)) + text("llama")
    try Data(file).write(to: URL(filePath: folder + "/vocab.gguf"))
    let outcome = try Command.run("inspect", folder + "/vocab.gguf")
    #expect(outcome.status == 0, "\(outcome.error)")
    #expect(
      outcome.output.contains("gguf: 0 tensors") && outcome.output.contains("no tensors: metadata alone"))
    #expect(outcome.output.contains("tokenizer.ggml.model = the string \"llama\""))
  }
}
