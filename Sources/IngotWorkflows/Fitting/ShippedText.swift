import CIngotTexts
import IngotFormats
import IngotSystem
import IngotTensors

/// The project's own texts, which are part of the program: agents at work, code, and languages.
struct ShippedText: Sendable {
  /// Of a file, such as `code.txt`.
  let name: String
  let bytes: [UInt8]

  static func all(heldOut: Bool) -> [ShippedText] {
    (0..<ingot_text_count()).compactMap { index in
      let text = unsafe ingot_text_at(index)
      guard unsafe (text.held_out != 0) == heldOut else { return nil }
      return unsafe ShippedText(
        name: String(cString: text.name),
        bytes: Array(UnsafeBufferPointer(start: text.bytes, count: text.count)))
    }
  }

  /// Puts the texts into a folder, unless they are there.
  ///
  /// - Returns: their paths.
  static func write(heldOut: Bool, into folder: String) throws(FormatError) -> [String] {
    var paths: [String] = []
    for text in all(heldOut: heldOut) {
      let path = folder + "/" + text.name
      if (try? Bytes.mapping(path))?.array != text.bytes {
        try WholeFile.write(text.bytes, to: path, force: true)
      }
      paths.append(path)
    }
    return paths
  }
}
