import IngotFormats
import IngotKernels
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors
import Testing

/// What is written is what is read: for every encoding, number of workers and split.
@Suite struct IngotRoundTripTests {
  /// Reading and writing the vectors' models of all encodings changes no bit of any plane.
  @Test(arguments: ["encodings", "blocks", "trellis"])
  func everyEncodingKeepsItsPlanes(_ name: String) async throws {
    let vector = try #require(try Vectors.all.get().good.first { $0.name == name })
    let scratch = try Scratch()
    let model = try Model.read(try scratch.write(vector.parts))
    let written = try await model.write(scratch("again.ingot"), as: .ingot, .with())
    let again = try Model.read(scratch("again.ingot"))
    #expect(written.bytes == (try content(scratch("again.ingot"))).count)
    try expectEqual(again, model)
  }

  /// Two writers, one in Python and one here, put the same tensors at the same places with the same checksums.
  @Test func layoutIsTheOtherWriters() async throws {
    let vector = try #require(try Vectors.all.get().good.first { $0.name == "tiny" })
    let scratch = try Scratch()
    let model = try Model.read(try scratch.write(vector.parts))
    _ = try await model.write(scratch("again.ingot"), as: .ingot, .with())
    let specification = try Specification()
    let theirs = SpecifiedArtifact(vector.parts[0].bytes, specification)
    let ours = SpecifiedArtifact(try content(scratch("again.ingot")), specification)
    #expect(ours.tensors.map(ours.name) == theirs.tensors.map(theirs.name))
    #expect(ours.encodings == theirs.encodings)
    #expect(ours.tensors.map { $0.bytes[8...] } == theirs.tensors.map { $0.bytes[8...] })
    #expect(ours.bytes[65_536...] == theirs.bytes[65_536...])
  }

  @Test(arguments: ["int8", "int4", "int3", "mixed-4-8"])
  func planned(_ recipe: String) async throws {
    let scratch = try Scratch()
    let model = try Model.read(nano).quantized(recipe)
    for (name, options) in [
      ("one", WriteOptions.with()), ("split", .with(split: 700_000)), ("plain", .with(hash: false)),
    ] {
      let planned = try model.plannedBytes(as: .ingot, options)
      let written = try await model.write(scratch("\(name).ingot"), as: .ingot, options)
      let sizes = try written.files.map { try content($0).count }
      #expect(planned == written.bytes && planned == sizes.reduce(0, +), "\(name)")
    }
  }

  @Test func bytesDoNotDependOnWorkers() async throws {
    let scratch = try Scratch()
    let model = try Model.read(nano).quantized("mixed-4-8")
    var files: [[UInt8]] = []
    for workers in [1, 2, 8] {
      let path = scratch("\(workers).ingot")
      _ = try await model.write(path, as: .ingot, .with(workers: workers))
      files.append(try content(path))
    }
    #expect(files[0] == files[1] && files[0] == files[2])
  }

  @Test func partsHoldTheSameTensors() async throws {
    let scratch = try Scratch()
    let model = try Model.read(nano).quantized("int4")
    _ = try await model.write(scratch("whole.ingot"), as: .ingot, .with())
    let whole = try Model.read(scratch("whole.ingot"))
    let limit = 800_000
    let written = try await model.write(scratch("split.ingot"), as: .ingot, .with(split: limit))
    #expect(written.files.count >= 5)
    #expect(Folder.kind(scratch("split.ingot")) == .nothing)
    #expect(
      try scratch.names.filter { $0.contains("-of-0000\(written.files.count).ingot") }.count
        == written.files.count)
    for file in written.files {
      #expect(try content(file).count <= limit)
      // Any part stands for the whole.
      try expectEqual(try Model.read(file), whole)
      #expect(await Format.check(file, workers: 2).problems.isEmpty)
    }
  }

  @Test func tooSmallASplitIsRefused() async throws {
    let scratch = try Scratch()
    let model = try Model.read(nano).quantized("int4")
    let error = try await awaitedRefusal {
      _ = try await model.write(scratch("split.ingot"), as: .ingot, .with(split: 100_000))
    }
    #expect(try #require(error).expected.contains("split size of at least"))
    #expect(try scratch.names == [])
  }

  @Test func sideFilesAreTheSameBytes() async throws {
    let scratch = try Scratch()
    let source = try scratch.copy(nano, to: "source")
    try scratch.write("source/empty.txt", [])
    try scratch.write("source/binary.dat", (0..<4096).map { UInt8(truncatingIfNeeded: $0 &* 167 >> 3) })
    try scratch.write("source/Lizenz (ü 漢).txt", Array("free".utf8))
    // Compresses by more than a reader allows, so it must be stored plain.
    try scratch.write("source/zeros.dat", [UInt8](repeating: 0, count: 70 << 20))
    let model = try Model.read(source)
    _ = try await model.quantized("int3").write(scratch("nano.ingot"), as: .ingot, .with(hash: false))
    let artifact = try Model.read(scratch("nano.ingot"))
    #expect(artifact.sideFiles.map(\.name) == model.sideFiles.map(\.name))
    #expect(artifact.sideFiles.contains { $0.name == "zeros.dat" && $0.bytes.count == 70 << 20 })
    for (old, new) in zip(model.sideFiles, artifact.sideFiles) {
      #expect(old.bytes.count == new.bytes.count && digest(old.bytes) == digest(new.bytes), "\(old.name)")
    }
    _ = try await artifact.decoded(to: .bf16).write(scratch("folder"), as: .safeTensors, .with())
    for file in model.sideFiles where file.name != "config.json" {
      #expect(digest(try Bytes.mapping(scratch("folder/" + file.name))) == digest(file.bytes), "\(file.name)")
    }
  }

  @Test func namesThatReadersRefuseAreNotWritten() async throws {
    let scratch = try Scratch()
    var model = try Model.read(nano)
    for name in ["a\\b", "a/b", "a/\u{301}b", ".hidden", "", String(repeating: "x", count: 256)] {
      model.sideFiles.append(SideFile(name: name, bytes: .empty))
      let error = try await awaitedRefusal {
        _ = try await model.write(scratch("nano.ingot"), as: .ingot, .with())
      }
      #expect(error?.expected.contains("plain names") == true, "'\(name)'")
      #expect(try scratch.names == [])
      model.sideFiles.removeLast()
    }
  }

  @Test func provenanceTellsTheSource() async throws {
    let scratch = try Scratch()
    let model = try Model.read(nano)
    _ = try await model.write(scratch("first.ingot"), as: .ingot, .with())
    let first = try Model.read(scratch("first.ingot"))
    let source = try #require(first.provenance?["source"])
    #expect(first.provenance?["tool"] == "tests")
    #expect(source["name"] == "m2-nano" && source["format"] == "safetensors")
    let files = try #require(source["files"]?.array)
    #expect(files.count == 4)
    for (file, path) in zip(files, model.weightFiles) {
      #expect(file["name"]?.string == Folder.name(of: path))
      #expect(file["bytes"]?.int == (try content(path)).count)
      #expect(file["sha256"]?.string == digest(try Bytes.mapping(path)))
    }
    _ = try await first.write(scratch("second.ingot"), as: .ingot, .with(hash: false))
    let second = try Model.read(scratch("second.ingot"))
    #expect(second.provenance?["source"]?["provenance"] == first.provenance)
    #expect(second.provenance?["source"]?["files"]?.array?.first?["sha256"] == nil)
  }

  private func digest(_ bytes: Bytes) -> String { hexadecimal(SHA256.hash(bytes.span)) }

  private func expectEqual(_ a: Model, _ b: Model) throws {
    #expect(a.tensors.map(\.name) == b.tensors.map(\.name))
    for (one, other) in zip(a.tensors, b.tensors) {
      #expect(
        one.role == other.role && one.shape == other.shape && one.encoding == other.encoding, "\(one.name)")
      let planes = (try one.planes(), try other.planes())
      #expect(planes.0.map(\.array) == planes.1.map(\.array), "\(one.name)")
    }
    #expect(a.sideFiles.map(\.name) == b.sideFiles.map(\.name))
    for (one, other) in zip(a.sideFiles, b.sideFiles) {
      #expect(one.bytes.array == other.bytes.array, "\(one.name)")
    }
  }
}
