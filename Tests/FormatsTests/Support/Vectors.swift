import IngotFormats
import IngotKernels
import IngotSystem
import IngotTensors

/// formats/ingot/vectors: files that must be read, and files that must be refused.
struct Vectors: Sendable {
  static let folder = repository + "/formats/ingot/vectors"
  static let all: Result<Vectors, FormatError> = Result { () throws(FormatError) in try Vectors() }

  /// A file of an artifact and its bytes.
  struct Part: Sendable {
    var name: String
    var bytes: [UInt8]
  }

  struct Expected: Sendable {
    var name: String
    var kind: TensorKind
    var shape: [Int]
    /// SHA-256 of the values as F32; nil for types without such values.
    var values: String?
    /// SHA-256 of the stored bytes of types without values in F32.
    var bytes: String?
  }

  struct Good: Sendable, CustomStringConvertible {
    var name: String
    var parts: [Part]
    var tensors: [Expected]
    var sideFiles: [String: String]

    var description: String { name }
  }

  struct Bad: Sendable, CustomStringConvertible {
    var name: String
    var parts: [Part]
    /// Name of the file to open: not the one that is missing.
    var opened: String
    /// `open`, `model` or `check`.
    var found: String
    var says: [String]

    var description: String { name }
  }

  var good: [Good] = []
  var bad: [Bad] = []

  private init() throws(FormatError) {
    let path = Vectors.folder + "/vectors.json"
    let json = try JSON.parse(try Bytes.mapping(path).array, path: path)
    for entry in json["good"]!.array! {
      if let base = entry["base"]?.string {
        var artifact = good.first { $0.name == base }!
        artifact.name = entry["name"]!.string!
        Vectors.apply(entry, to: &artifact.parts[0].bytes)
        good.append(artifact)
      } else {
        good.append(try Vectors.read(entry))
      }
    }
    for entry in json["bad"]!.array! {
      var parts = good.first { $0.name == entry["base"]!.string! }!.parts
      if let missing = entry["missing"]?.int {
        parts.remove(at: missing)
      } else {
        Vectors.apply(entry, to: &parts[entry["part"]?.int ?? 0].bytes)
      }
      bad.append(
        Bad(
          name: entry["name"]!.string!, parts: parts, opened: parts[0].name, found: entry["found"]!.string!,
          says: entry["says"]!.array!.map { $0.string! }))
    }
  }

  private static func read(_ entry: JSON) throws(FormatError) -> Good {
    var parts: [Part] = []
    for file in entry["files"]!.array! {
      let stored = folder + "/" + file["stored"]!.string!
      guard let bytes = Zstd.decompress(try Bytes.mapping(stored), size: file["bytes"]!.int!) else {
        throw FormatError(path: stored, expected: "a zstd frame", found: "none")
      }
      guard hexadecimal(SHA256.hash(bytes.span)) == file["sha256"]!.string! else {
        throw FormatError(path: stored, expected: "its SHA-256", found: "another")
      }
      parts.append(Part(name: file["name"]!.string!, bytes: bytes.array))
    }
    let tensors = entry["tensors"]!.array!.map { tensor in
      Expected(
        name: tensor["name"]!.string!, kind: TensorKind(rawValue: tensor["kind"]!.string!),
        shape: tensor["shape"]!.array!.map { $0.int! },
        values: tensor["values"]?.string, bytes: tensor["bytes"]?.string)
    }
    let files = entry["sideFiles"]!.object!.map { ($0.key, $0.value.string!) }
    return Good(
      name: entry["name"]!.string!, parts: parts, tensors: tensors,
      sideFiles: Dictionary(uniqueKeysWithValues: files))
  }

  private static func apply(_ entry: JSON, to bytes: inout [UInt8]) {
    if let length = entry["truncate"]?.int { bytes.removeLast(bytes.count - length) }
    if let tail = entry["append"]?.string { bytes += unhexadecimal(tail) }
    for patch in entry["patches"]?.array ?? [] {
      let at = patch["at"]!.int!
      let new = unhexadecimal(patch["bytes"]!.string!)
      bytes.replaceSubrange(at..<at + new.count, with: new)
    }
  }
}

extension Scratch {
  /// Writes the parts of an artifact and returns the first one's path.
  func write(_ parts: [Vectors.Part]) throws -> String {
    for part in parts { try write(part.name, part.bytes) }
    return self(parts[0].name)
  }
}

/// Bytes as lower-case hexadecimal digits.
func hexadecimal(_ bytes: [UInt8]) -> String {
  bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
}

/// Hexadecimal digits as bytes.
func unhexadecimal(_ text: String) -> [UInt8] {
  let digits = text.utf8.map { UInt8($0 < 0x40 ? $0 - 0x30 : $0 - 0x57) }
  return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
}

extension Tensor {
  /// SHA-256 of the values in F32, little endian.
  func valuesDigest() throws -> String {
    let values = try floats()
    return hexadecimal(unsafe SHA256.hash(values.span.bytes))
  }

  /// SHA-256 of the planes, one after the other.
  func planesDigest() throws -> String {
    var hash = SHA256()
    for plane in try planes() { hash.update(plane.span) }
    return hash.hexDigest()
  }
}
