import IngotFormats
import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors
import Testing

/// formats/ingot/SPEC.md against the code: constants, lists, and every field of an artifact that the code wrote.
@Suite struct IngotSpecificationTests {
  let specification: Specification

  init() throws { specification = try Specification() }

  @Test func recordsHaveTheSizesOfTheirTables() throws {
    for (start, size) in [
      ("Header", IngotLayout.headerSize), ("Directory", IngotLayout.countsSize),
      ("Encoding record", IngotLayout.encodingSize), ("Kind record", IngotLayout.kindSize),
      ("Tensor record", IngotLayout.tensorSize),
      ("File record", IngotLayout.fileSize),
    ] {
      let fields = specification.fields(start)
      #expect(fields.count >= (start == "Kind record" ? 1 : 5), "\(start)")
      var end = 0
      for field in fields {
        #expect(field.offset == end, "\(start), byte \(field.offset)")
        #expect(field.size > 0, "\(start): type '\(field.type)'")
        end = field.offset + field.size
      }
      #expect(end == size, "\(start)")
      let heading = try #require(specification.heading(start))
      if heading.contains(",") { #expect(heading.hasSuffix(", \(size) bytes"), "\(heading)") }
    }
  }

  @Test func limitsAreTheTexts() {
    let header = specification.fields("Header")
    let magic = header[0].meanings[0].split(separator: " ").compactMap { UInt8($0, radix: 16) }
    #expect(magic == IngotLayout.magic)
    #expect(header[1].meanings[0].hasPrefix("major version, \(IngotLayout.majorVersion):"))
    #expect(header[2].meanings[0].hasPrefix("minor version, \(IngotLayout.minorVersion):"))
    #expect(header.contains { $0.meanings[0].hasPrefix("parts, 1…") && $0.meanings[0].hasSuffix("99,999") })
    #expect(IngotLayout.partLimit == 99_999)
    let directory = specification.text("Directory")
    #expect(directory.contains("At most 1 GiB") && IngotLayout.directoryLimit == 1 << 30)
    #expect(directory.contains("encodings, at most 65,536") && IngotLayout.encodingLimit == 65_536)
    #expect(directory.contains("kinds, at most 65,536") && IngotLayout.kindLimit == 65_536)
    #expect(specification.text("Kind record, 64 bytes").contains("1 to \(TensorKind.longest) bytes"))
    let whole = specification.text("The whole")
    #expect(whole.contains("header, \(IngotLayout.headerSize) bytes"))
    #expect(whole.contains("side files, each at a multiple of \(IngotLayout.planeAlignment)"))
    #expect(whole.contains("runs, each at a multiple of 65,536") && IngotLayout.runAlignment == 65_536)
    let tensor = specification.fields("Tensor record")
    #expect(tensor.contains { $0.meanings[0] == "extents, at most \(IngotLayout.rankLimit)" })
    #expect(tensor.contains { $0.type == "\(IngotLayout.planeLimit) × u64" })
    // min(1 GiB, 1 MiB + 256 × stored)
    #expect(
      specification.text("File record, 48 bytes").contains(
        "at most 1 GiB, and at most 1 MiB + 256 × bytes stored"))
    func bounded(_ frames: [(stored: Int, content: Int)]) -> Bool {
      var sum = IngotLayout.Frames()
      for frame in frames { sum.add(stored: frame.stored, content: frame.content) }
      return sum.areBounded
    }
    let most = 1 << 20 + 256 * 1000
    #expect(bounded([(1000, most)]) && !bounded([(1000, most + 1)]))
    #expect(bounded([(400, most - 5), (600, 5)]) && !bounded([(400, 1 << 20), (600, 1 << 20)]))
    #expect(bounded([(1 << 40, 1 << 30)]) && !bounded([(1 << 40, 1 << 30 + 1)]))
  }

  @Test func listsHaveTheNumbersOfTheCode() {
    let types = specification.list("Encoding record", after: "Value types: ")
    #expect(types.count == DType.allCases.count)
    #expect(
      types == Dictionary(uniqueKeysWithValues: IngotLayout.types.map { (Int($0.number), $0.type.rawValue) }))
    let kinds = specification.names("Kind record", after: "Kinds in use so far: ")
    #expect(kinds == TensorKind.known.map(\.rawValue))
    let record = specification.fields("Encoding record")
    let offsets = record.first { $0.offset == 4 }!.meanings[2]
    #expect(offsets == "offset: 0 symmetric, 1 zero point, 2 bias")
    #expect(IngotLayout.offsets.map(\.offset) == [.symmetric, .zeroPoint, .bias])
    #expect(IngotLayout.offsets.map(\.number) == [0, 1, 2])
    let bits = record.first { $0.offset == 3 }!.meanings[2]
    #expect(bits == "bits: 2, 3, 4, 5, 6 or 8" && Affine.widths == [2, 3, 4, 5, 6, 8])
    let files = specification.fields("File record").map { $0.meanings[0] }
    #expect(files.contains("kind: 0 side file, 1 provenance"))
    #expect(IngotLayout.FileKind.sideFile.rawValue == 0 && IngotLayout.FileKind.provenance.rawValue == 1)
  }

  /// Every field of an artifact, found by the tables alone, holds what the model says.
  @Test func writtenFieldsStandWhereTheTablesSay() async throws {
    let scratch = try Scratch()
    let model = try Model.read(nano).quantized("mixed-4-8")
    let path = scratch("nano.ingot")
    let written = try await model.write(path, as: .ingot, .with())
    let bytes = try content(path)
    let artifact = SpecifiedArtifact(bytes, specification)
    let header = artifact.header
    #expect(header("major version") == 1 && header("minor version") == 0 && header("flags") == 0)
    #expect(header("index of this part") == 0 && header("parts") == 1)
    #expect(header("length of this part") == bytes.count && bytes.count == written.bytes)
    #expect(header("where the directory") == 128)
    let end = 128 + header("bytes of the directory")
    #expect(UInt64(bitPattern: Int64(header("checksum of the directory"))) == hash(bytes[128..<end]))
    #expect(UInt64(bitPattern: Int64(header("checksum of bytes"))) == hash(bytes[0..<120]))
    #expect(header("Unused") == 0 && bytes[64..<120].allSatisfy { $0 == 0 })
    #expect(artifact.kinds == Set(model.tensors.map(\.role.kind.rawValue)).sorted())
    #expect(artifact.tensors.count == model.tensors.count)
    for (record, tensor) in zip(artifact.tensors, model.tensors) {
      #expect(artifact.name(record) == tensor.name)
      #expect(artifact.kind(record) == tensor.role.kind.rawValue)
      #expect(record("layer") == tensor.role.layer ?? -1)
      #expect(record("expert") == tensor.role.expert ?? -1)
      #expect(record("index of the file part") == 0 && record("Reserved") == 0)
      #expect(record("extents, at most") == tensor.shape.count)
      for axis in 0..<IngotLayout.rankLimit {
        #expect(record("extents, slowest", axis) == (axis < tensor.shape.count ? tensor.shape[axis] : 0))
      }
      let start = record("where it starts")
      #expect(start % 64 == 0)
      #expect(artifact.encodings[record("index of its encoding")] == encodingRecord(tensor.encoding))
      // Planes: in order, each at a multiple of 64 from the tensor's start.
      var offset = 0
      for (index, plane) in try tensor.planes().enumerated() {
        offset = (offset + 63) / 64 * 64
        let stored = bytes[start + offset..<start + offset + plane.count]
        #expect(Array(stored) == plane.array, "\(tensor.name), plane \(index)")
        #expect(UInt64(bitPattern: Int64(record("checksums", index))) == hash(stored))
        offset += plane.count
      }
      #expect(record("its bytes") == offset)
    }
    for record in artifact.files {
      let name = artifact.name(record)
      let start = record("where it starts")
      let stored = bytes[start..<start + record("bytes stored")]
      #expect(start % 64 == 0 && record("Reserved") == 0)
      #expect(UInt64(bitPattern: Int64(record("checksum"))) == hash(stored))
      if record("kind") == 1 {
        #expect(record("codec") == 0 && stored.first == UInt8(ascii: "{"))
      } else {
        let original = try content(nano + "/" + name)
        #expect(record("bytes of content") == original.count)
        let frame = Bytes(Array(stored))
        let raw = record("codec") == 1 ? Zstd.decompress(frame, size: original.count)?.array : frame.array
        #expect(raw == original, "\(name)")
      }
    }
  }

  /// One expert's tensors lie together: gate, up, down, at a multiple of 65,536, then at multiples of 64.
  @Test func expertsAreRuns() async throws {
    let scratch = try Scratch()
    let model = try Model.read(nano).quantized("int3")
    _ = try await model.write(scratch("nano.ingot"), as: .ingot, .with(hash: false))
    let artifact = SpecifiedArtifact(try content(scratch("nano.ingot")), specification)
    var end = try #require(artifact.files.map { $0("where it starts") + $0("bytes stored") }.max())
    var before = (-1, -1)
    for record in artifact.tensors {
      let key = (record("layer"), record("expert"))
      let step = key == before && key.0 >= 0 ? 64 : 65_536
      let start = record("where it starts")
      #expect(start % step == 0 && start >= end && start - end < step, "\(artifact.name(record))")
      if key == before, key.1 >= 0 { #expect(["up", "down"].contains(artifact.kind(record))) }
      if key != before, key.1 >= 0 { #expect(artifact.kind(record) == "gate") }
      before = key
      end = start + record("its bytes")
    }
    #expect(end == artifact.bytes.count)
  }

  private func hash(_ bytes: ArraySlice<UInt8>) -> UInt64 {
    let bytes = Bytes(Array(bytes))
    return XXH3.hash(bytes.span)
  }

  /// The record of an encoding, by the table of the specification.
  private func encodingRecord(_ encoding: Encoding) -> [UInt8] {
    var record = [UInt8](repeating: 0, count: 32)
    func number(_ type: DType) -> UInt8 { IngotLayout.types.first { $0.type == type }!.number }
    switch encoding {
    case .columnPacked, .tiles: Issue.record("\(encoding) has no record")
    case .ggml(let type): record[0...1] = [3, type.rawValue]
    case .trellis(let scheme): record[0...2] = [5, UInt8(scheme.shape.halves), UInt8(scheme.shape.window)]
    case .dense(let type): record[1] = number(type)
    case .blockScaled(let scheme):
      record[0...2] = [1, number(scheme.code), number(scheme.scale)]
      record[12] = UInt8(scheme.blockRows)
      record[16] = UInt8(scheme.blockColumns)
    case .affine(let scheme):
      let offset = IngotLayout.offsets.first { $0.offset == scheme.offset }!.number
      record[0...4] = [2, 0, number(scheme.scale), UInt8(scheme.bits), offset]
      record[8] = UInt8(scheme.group ?? 0)
    case .microScaled(let scheme):
      record[0...4] = [4, number(scheme.code), number(scheme.scale), 0, scheme.global.rawValue]
      record[8] = UInt8(scheme.group)
    }
    return record
  }
}
