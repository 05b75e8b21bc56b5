import Foundation
import IngotFormats
import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors
import Testing

/// What must hold for every damaged byte of an artifact: an error, found and located, and never a crash.
@Suite struct IngotLawTests {
  let scratch: Scratch
  let bytes: [UInt8]
  let path: String
  let artifact: SpecifiedArtifact

  init() throws {
    scratch = try Scratch()
    let vector = try #require(try Vectors.all.get().good.first { $0.name == "tiny" })
    path = try scratch.write(vector.parts)
    bytes = vector.parts[0].bytes
    artifact = SpecifiedArtifact(bytes, try Specification())
  }

  private var directoryEnd: Int { 128 + artifact.header("bytes of the directory") }

  @Test func truncatedAnywhereIsRefused() throws {
    let handle = try #require(FileHandle(forWritingAtPath: path))
    let lengths =
      stride(from: bytes.count - 1, through: 65_536, by: -61).map { $0 }
      + stride(from: 65_535, through: 0, by: -1).map { $0 }
    for length in lengths {
      try handle.truncate(atOffset: UInt64(length))
      let error = try refusal { _ = try Model.read(path) }
      let found = try #require(error, "\(length) bytes were read")
      #expect(found.path == path && found.found.contains("\(length) bytes"), "\(found)")
    }
  }

  /// A cut file whose header says that it is as long as it is: places are held against the length.
  @Test func truncatedWithAHeaderToMatchIsRefused() throws {
    let last = try #require(artifact.tensors.map { $0("where it starts") + $0("its bytes") }.max())
    #expect(last == bytes.count)
    for length in stride(from: 128, to: bytes.count, by: 509) {
      var cut = Array(bytes[..<length])
      cut.replaceSubrange(24..<32, with: (0..<8).map { UInt8(truncatingIfNeeded: length >> (8 * $0)) })
      seal(&cut, directory: false)
      let path = try scratch.write("cut.ingot", cut)
      #expect(try refusal { _ = try Model.read(path) } != nil, "\(length) bytes were read")
    }
  }

  @Test func headerAndDirectoryBytesFlippedAreRefused() throws {
    let file = try File(creating: scratch("flipped.ingot"))
    try file.write(bytes, at: 0)
    for at in 0..<directoryEnd {
      for mask in [UInt8(0x01), 0x80, 0xFF] {
        try file.write([bytes[at] ^ mask], at: at)
        let error = try refusal { _ = try Model.read(file.path) }
        #expect(error?.path == file.path, "byte \(at), \(mask)")
      }
      try file.write([bytes[at]], at: at)
    }
    _ = try Model.read(file.path)
  }

  /// Directory bytes changed by someone who makes the checksums right again: refused, or read without a crash.
  @Test func directoryBytesChangedOnPurposeDoNotCrash() throws {
    var opened = 0
    for at in 128..<directoryEnd {
      for value in [bytes[at] ^ 0x01, bytes[at] ^ 0x80, 0xFF, 0x00] where value != bytes[at] {
        var changed = bytes
        changed[at] = value
        seal(&changed, directory: true)
        let path = try scratch.write("changed.ingot", Array(changed))
        let error = try refusal {
          let model = try Model.read(path)
          for tensor in model.tensors where tensor.encoding.isDecodable { _ = try tensor.floats() }
          opened += 1
        }
        if let error { #expect(error.path.hasPrefix(path), "\(error)") }
      }
    }
    // Names and checksums of planes may change without making the file unreadable.
    #expect(opened > 0)
  }

  /// Every byte that carries something, and every 401st of the zeros between: `check` finds the change and says where.
  @Test func everyFlippedByteIsFoundAndLocated() async throws {
    let file = try File(creating: scratch("flipped.ingot"))
    try file.write(bytes, at: 0)
    var owners = [String?](repeating: nil, count: bytes.count)
    var padding = [Bool](repeating: true, count: bytes.count)
    for at in 0..<directoryEnd { padding[at] = false }
    let model = try Model.read(path)
    for record in artifact.tensors {
      let name = artifact.name(record)
      let tensor = try #require(model.tensors.first { $0.name == name })
      var at = record("where it starts")
      for plane in try tensor.planes() {
        at = (at + 63) / 64 * 64
        for byte in at..<at + plane.count { (owners[byte], padding[byte]) = (name, false) }
        at += plane.count
      }
    }
    for record in artifact.files {
      for at in record("where it starts")..<record("where it starts") + record("bytes stored") {
        (owners[at], padding[at]) = (artifact.name(record), false)
      }
    }
    var checked = 0
    for at in bytes.indices where !padding[at] || at % 401 == 0 {
      try file.write([bytes[at] ^ (1 << UInt8(at % 8))], at: at)
      let report = await Format.check(file.path, workers: 1)
      let problem = try #require(report.problems.first, "byte \(at) changed and nothing was found")
      #expect(report.problems.count == 1, "byte \(at): \(report.problems)")
      #expect(problem.tensor == owners[at], "byte \(at): \(problem)")
      if padding[at] { #expect(problem.offset == UInt64(at), "byte \(at): \(problem)") }
      if owners[at] != nil, let offset = problem.offset {
        #expect(offset <= UInt64(at), "byte \(at): \(problem)")
      }
      try file.write([bytes[at]], at: at)
      checked += 1
    }
    #expect(checked > 7500)
    #expect(await Format.check(file.path, workers: 1).problems.isEmpty)
  }

  /// The reader ignores what the specification calls Unused, and a later minor version.
  @Test func unusedBytesAreIgnored() throws {
    var changed = bytes
    for at in 56..<64 { changed[at] = 0xA5 }
    changed[10] = 9
    seal(&changed, directory: false)
    let model = try Model.read(try scratch.write("later.ingot", changed))
    #expect(model.tensors.count == artifact.tensors.count)
  }

  /// Puts the right checksums into directory and header.
  private func seal(_ bytes: inout [UInt8], directory: Bool) {
    func put(_ value: UInt64, at: Int) {
      for index in 0..<8 { bytes[at + index] = UInt8(truncatingIfNeeded: value >> (8 * UInt64(index))) }
    }
    if directory { put(sum(bytes[128..<directoryEnd]), at: 48) }
    put(sum(bytes[0..<120]), at: 120)
  }

  private func sum(_ bytes: ArraySlice<UInt8>) -> UInt64 {
    let bytes = Bytes(Array(bytes))
    return XXH3.hash(bytes.span)
  }
}
