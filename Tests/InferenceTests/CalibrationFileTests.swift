import Foundation
import IngotFormats
import IngotInference
import IngotModels
import IngotSystem
import IngotTensors
import Testing

@Suite struct CalibrationFileTests {
  static func written(_ folder: String, contexts: SeenContexts? = nil) async throws -> String {
    let model = try Nano.model()
    let statistics = try await CalibrationTests.statistics(model, contexts: 1)
    let path = folder + "/x.calib"
    let writer = try CalibrationFile.Writer(path, for: model, texts: ["a"])
    try writer.begin(tokens: 128, contexts: contexts)
    for layer in 0..<statistics.layers { try writer.write(try statistics.layer(layer)) }
    try writer.commit()
    return path
  }

  static func folder() throws -> String {
    let path = NSTemporaryDirectory() + "\(UUID())"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    return path
  }

  /// A file whose header has been changed, the rest as it was.
  static func changed(_ path: String, _ edit: (inout JSONObject) throws -> Void) throws -> String {
    let bytes = Array(try Data(contentsOf: URL(filePath: path)))
    let length = bytes.prefix(8).enumerated().reduce(0) { $0 | Int($1.element) << (8 * $1.offset) }
    var header = try JSON.parse(Array(bytes[8..<8 + length]), path: path).object!
    try edit(&header)
    var text = Array(JSON.object(header).text().utf8)
    while text.count % 8 != 0 { text.append(0x20) }
    let prefix = (0..<8).map { UInt8(truncatingIfNeeded: text.count >> (8 * $0)) }
    let copy = path + ".changed"
    try Data(prefix + text + bytes[(8 + length)...]).write(to: URL(filePath: copy))
    return copy
  }

  /// Reads every layer.
  static func readAll(_ path: String) throws {
    let statistics = try CalibrationFile.read(path, for: Nano.model())
    for layer in 0..<statistics.layers { _ = try statistics.layer(layer) }
  }

  /// A file says which contexts it is of; one of an older version does not, and is read all the same.
  @Test func contextsAreRecorded() async throws {
    let folder = try Self.folder()
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let old = try CalibrationFile.read(try await Self.written(folder), for: Nano.model())
    #expect(old.contexts == nil)
    let seen = SeenContexts(try Nano.contexts(3, of: 128))
    let other = folder + "/other"
    try FileManager.default.createDirectory(atPath: other, withIntermediateDirectories: true)
    let path = try await Self.written(other, contexts: seen)
    let read = try CalibrationFile.read(path, for: Nano.model())
    #expect(read.contexts == seen && seen.count == 3 && seen.length == 128)
    #expect(read.dropping(nil, of: try Nano.model()).contexts == seen)
    try Self.readAll(path)
    let header = try SafeTensorsHeader(path: path)
    #expect(header.metadata["contexts"] == "3")
    // A byte of it, or of its checksum.
    let place = try #require(header.entries.first { $0.name == "contexts" }).range
    var bytes = Array(try Data(contentsOf: URL(filePath: path)))
    for index in [place.lowerBound + 5, place.upperBound - 20, place.upperBound - 1] {
      bytes[index] ^= 1
      try Data(bytes).write(to: URL(filePath: path))
      let error = #expect(throws: FormatError.self) { try CalibrationFile.read(path, for: Nano.model()) }
      #expect(error?.tensor == "contexts", "\(String(describing: error))")
      bytes[index] ^= 1
    }
  }

  @Test func everyFlippedByteOfAFieldIsFound() async throws {
    let folder = try Self.folder()
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let path = try await Self.written(folder)
    try Self.readAll(path)
    var bytes = Array(try Data(contentsOf: URL(filePath: path)))
    let start = 8 + bytes.prefix(8).enumerated().reduce(0) { $0 | Int($1.element) << (8 * $1.offset) }
    for place in [start, start + 8, start + 16, start + 20, start + 1000, bytes.count - 1] {
      bytes[place] ^= 1
      try Data(bytes).write(to: URL(filePath: path))
      let error = #expect(throws: FormatError.self) { try Self.readAll(path) }
      #expect(error?.tensor?.hasPrefix("layers.") == true, "\(place): \(String(describing: error))")
      bytes[place] ^= 1
    }
    // Cut short anywhere.
    for count in [0, 7, 100, start + 4, bytes.count - 1] {
      try Data(bytes.prefix(count)).write(to: URL(filePath: path))
      #expect(throws: FormatError.self, "\(count) bytes") { try Self.readAll(path) }
    }
  }

  @Test func whatItClaimsIsCheckedBeforeAnythingIsAllocated() async throws {
    let folder = try Self.folder()
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let path = try await Self.written(folder)
    func metadata(_ key: String, _ value: String) throws -> String {
      try Self.changed(path) { header in
        var metadata = header["__metadata__"]!.object!
        metadata[key] = .string(value)
        header["__metadata__"] = .object(metadata)
      }
    }
    // Tokens decide sizes: 2^31 of them would be terabytes.
    for (key, value, word) in [
      ("tokens", "2147483648", "field of"), ("tokens", "-1", "number of tokens"),
      ("version", "1", "of version 2"),
      ("version", "3", "found version 3"), ("forced", "[0]", "forced"), ("forced", "[0,0,0,-1]", "forced"),
      ("forced", "[0,0,0,1]", "layers.3.experts.forced"),
    ] {
      let error = #expect(throws: FormatError.self, "\(key) \(value)") {
        try Self.readAll(try metadata(key, value))
      }
      #expect("\(error!)".contains(word), "\(key) \(value): \(error!)")
    }
  }

  @Test func aBombIsRefused() throws {
    // A frame of zeros shrinks ten thousandfold; what is declared is held against what is there.
    let zeros = Bytes(count: 1 << 27) { _ in }
    let stored = CompressedField(zeros, width: 4).stored
    #expect(stored.count < zeros.count / CompressedField.greatestRatio)
    let error = #expect(throws: FormatError.self) {
      try CompressedField.decompress(stored, size: zeros.count, width: 4) {
        FormatError(path: "x", expected: $0, found: $1)
      }
    }
    #expect("\(error!)".contains("thousandth"))
    let some = Bytes(count: 1 << 21) { _ in }
    let small = CompressedField(some, width: 2).stored
    #expect(
      try CompressedField.decompress(small, size: some.count, width: 2) {
        FormatError(path: "x", expected: $0, found: $1)
      }.array == some.array)
  }
}

extension CompressedField {
  /// As it stands in a file.
  fileprivate var stored: Bytes { Bytes(head + content.array) }
}
