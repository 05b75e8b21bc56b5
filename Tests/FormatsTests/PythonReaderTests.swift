import IngotFormats
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors
import Testing

/// formats/ingot/reader.py and this package must agree on every value and every refusal.
@Suite(.enabled(if: Python.isWanted, "INGOT_NO_PYTHON=1"))
struct PythonReaderTests {
  @Test(arguments: [
    "int8", "int4", "int3", "mixed-4-8", "q8_0", "q4_k_m", "q3_k_m", "q2_k", "iq4_xs", "mxfp4_moe", "mxfp4",
    "nvfp4",
  ])
  func agreesOnQuantizedModels(_ recipe: String) async throws {
    let scratch = try Scratch()
    let path = scratch("\(recipe).ingot")
    _ = try await Model.read(nano).quantized(recipe).write(path, as: .ingot, .with())
    try agree(path)
  }

  @Test func agreesOnParts() async throws {
    let scratch = try Scratch()
    let model = try Model.read(nano).quantized("int4")
    let written = try await model.write(scratch("nano.ingot"), as: .ingot, .with(split: 1_000_000))
    #expect(written.files.count > 3)
    try agree(written.files[2])
  }

  /// FP8 carried through: block scales, and tensors that are dense.
  @Test func agreesOnCarriedModels() async throws {
    let scratch = try Scratch()
    _ = try await Model.read(nano).write(scratch("nano.ingot"), as: .ingot, .with())
    try agree(scratch("nano.ingot"))
  }

  private func agree(_ path: String) throws {
    let outcome = try Python.reader([path, "--digests"])
    #expect(outcome.status == 0, "\(outcome.error)")
    let lines = outcome.output.split(separator: "\n").map { $0.split(separator: " ", maxSplits: 1) }
    let digests = Dictionary(uniqueKeysWithValues: lines.map { (String($0[1]), String($0[0])) })
    let model = try Model.read(path)
    #expect(digests.count == model.tensors.count)
    for tensor in model.tensors {
      #expect(try tensor.valuesDigest() == digests[tensor.name], "\(tensor.name)")
    }
  }

  /// Side files come out as they went in, zstd frames and all.
  @Test func dumpsSideFiles() async throws {
    let scratch = try Scratch()
    _ = try await Model.read(nano).quantized("int3").write(scratch("nano.ingot"), as: .ingot, .with())
    let outcome = try Python.reader([scratch("nano.ingot"), "--dump", scratch("dump")])
    #expect(outcome.status == 0, "\(outcome.error)")
    let model = try Model.read(nano)
    #expect(model.sideFiles.count >= 5)
    for file in model.sideFiles {
      #expect(try content(scratch("dump/" + file.name)) == file.bytes.array, "\(file.name)")
    }
  }

  @Test func readsGoodVectors() throws {
    for vector in try Vectors.all.get().good {
      let scratch = try Scratch()
      let outcome = try Python.reader([try scratch.write(vector.parts), "--digests"])
      #expect(outcome.status == 0, "\(outcome.error)")
      let expected = vector.tensors.map { "\($0.values ?? "no-values-in-f32") \($0.name)" }
      #expect(Set(outcome.output.split(separator: "\n").map(String.init)) == Set(expected), "\(vector.name)")
    }
  }

  /// It refuses, in the same words, what any reader finds when it opens a file.
  @Test func refusesBadVectors() throws {
    let vectors = try Vectors.all.get().bad.filter { $0.found != "model" }
    let folders = try vectors.map { vector in
      let scratch = try Scratch()
      _ = try scratch.write(vector.parts)
      return scratch
    }
    let paths = zip(folders, vectors).map { $0($1.opened) }
    let outcome = try Python.reader(["--digests"] + paths)
    #expect(outcome.status == 1)
    #expect(!outcome.error.contains("Traceback"), "\(outcome.error)")
    let lines = outcome.error.split(separator: "\n").map(String.init)
    for (folder, vector) in zip(folders, vectors) {
      let line = try #require(lines.first { $0.hasPrefix(folder.path) }, "\(vector.name) was read")
      for words in vector.says { #expect(line.contains(words), "\(vector.name): \(line)") }
    }
  }
}
