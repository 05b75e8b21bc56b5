import IngotSystem
import IngotTensors

/// A GGUF file, or all parts of a split one, opened and checked.
struct GGUFFiles: Sendable {
  static let numberKey = "split.no"
  static let countKey = "split.count"
  static let tensorCountKey = "split.tensors.count"
  /// llama.cpp counts parts in 16 bits.
  static let partLimit = 65_535

  let parts: [GGUFHeader]

  /// Metadata of the model: that of the first part.
  var metadata: GGUFMetadata { parts[0].metadata }

  /// Tensors of all parts, each with the part that holds it.
  var tensors: [(part: Int, info: GGUFHeader.Info)] {
    parts.enumerated().flatMap { index, part in part.tensors.map { (index, $0) } }
  }

  /// - Parameter path: the file, or any part of a split one.
  init(_ path: String) throws(FormatError) {
    let opened = try GGUFHeader(path: path)
    let count = try opened.metadata.integer(GGUFFiles.countKey, 0...GGUFFiles.partLimit, or: 1)
    guard count > 1 else {
      parts = [opened]
      return
    }
    let mine = try opened.metadata.integer(GGUFFiles.numberKey, 0...count - 1)
    var parts: [GGUFHeader] = []
    for number in 0..<count {
      let other =
        number == mine ? opened : try GGUFHeader(path: try GGUFFiles.partPath(path, number, of: count))
      guard try other.metadata.integer(GGUFFiles.numberKey, 0...count - 1) == number,
        try other.metadata.integer(GGUFFiles.countKey, 0...GGUFFiles.partLimit) == count
      else {
        throw other.metadata.error(GGUFFiles.numberKey, "part \(number) (from 0) of \(count)")
      }
      parts.append(other)
    }
    self.parts = parts
    try checkParts()
  }

  /// Names occur in one part only, and there are as many tensors as every part says.
  private func checkParts() throws(FormatError) {
    var names = Set<String>()
    for part in parts {
      for info in part.tensors where !names.insert(info.name).inserted {
        throw FormatError(
          path: part.path, tensor: info.name, offset: info.infoOffset, expected: "names that occur once",
          found: "a tensor of this name in another part")
      }
    }
    for part in parts {
      guard let stated = part.metadata[GGUFFiles.tensorCountKey]?.integer, stated == names.count else {
        throw part.metadata.error(GGUFFiles.tensorCountKey, "\(names.count), the tensors of all parts")
      }
    }
  }

  /// Path of part `number` (from 0) beside the part at `path`.
  static func partPath(_ path: String, _ number: Int, of parts: Int) throws(FormatError) -> String {
    // NAME-00001-of-00003.gguf
    let tail = partSuffix(0, of: parts).dropFirst(1 + digits(1).count)
    let stem = path.dropLast(tail.count)
    guard path.hasSuffix(tail), stem.count > 6, stem.suffix(6).first == "-",
      stem.suffix(5).allSatisfy({ $0.isASCII && $0.isNumber })
    else {
      throw FormatError(
        path: path, expected: "a name that ends in -NNNNN\(tail), as parts of a split file are called",
        found: "'\(printable(Folder.name(of: path)))'; give the parts the names that they were written under")
    }
    return stem.dropLast(6) + partSuffix(number, of: parts)
  }

  /// `-00001-of-00003.gguf` for part 0 of 3.
  static func partSuffix(_ number: Int, of parts: Int) -> String {
    "-\(digits(number + 1))-of-\(digits(parts)).gguf"
  }

  private static func digits(_ number: Int) -> String {
    let text = String(number)
    return String(repeating: "0", count: max(5 - text.count, 0)) + text
  }
}
