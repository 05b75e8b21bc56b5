/// GPT-2's printable alphabet for bytes, in which byte-level vocabularies are written: visible Latin-1
/// characters stand for themselves, the other 68 bytes are moved to U+0100 and up in their order.
enum ByteAlphabet {
  /// The scalar for each byte.
  static let scalars: [Unicode.Scalar] = {
    var moved: UInt32 = 0x100
    return (0..<256).map { byte in
      switch byte {
      case 0x21...0x7E, 0xA1...0xAC, 0xAE...0xFF: return Unicode.Scalar(UInt8(byte))
      default:
        defer { moved += 1 }
        return Unicode.Scalar(moved) ?? "\u{FFFD}"
      }
    }
  }()

  private static let bytes: [UInt16] = {
    var table = [UInt16](repeating: .max, count: 0x144)
    for (byte, scalar) in scalars.enumerated() { table[Int(scalar.value)] = UInt16(byte) }
    return table
  }()

  static func byte(of scalar: Unicode.Scalar) -> UInt8? {
    let value = Int(scalar.value)
    return value < bytes.count && bytes[value] < 256 ? UInt8(bytes[value]) : nil
  }

  /// Adds the bytes that `piece` stands for; a piece with any character outside the alphabet stands for
  /// its own UTF-8.
  static func append(bytesOf piece: String, to result: inout [UInt8]) {
    let start = result.count
    for scalar in piece.unicodeScalars {
      guard let byte = byte(of: scalar) else {
        result.removeSubrange(start...)
        result += Array(piece.utf8)
        return
      }
      result.append(byte)
    }
  }

  /// The piece that stands for `bytes`.
  static func piece(_ bytes: ArraySlice<UInt8>) -> String {
    var text = String.UnicodeScalarView()
    for byte in bytes { text.append(scalars[Int(byte)]) }
    return String(text)
  }
}
