import IngotKernels
import IngotSystem
import IngotTensors

/// Which contexts something was made of, by the hashes of their tokens. A file that has it lets later commands tell whether
/// they measure on text that was used before, whatever the text's file is called by then.
public struct SeenContexts: Hashable, Sendable {
  /// One text's contexts, in the text's order.
  public struct Text: Hashable, Sendable {
    /// Of the text's file, without its folder; empty for a text without a name.
    public var name: String
    public var hashes: [UInt64]

    public init(name: String, hashes: [UInt64]) {
      self.name = name
      self.hashes = hashes
    }
  }

  /// Tokens in each context. Contexts of another length have other hashes, whatever they have in common.
  public var length: Int
  public var texts: [Text]

  public init(length: Int, texts: [Text]) {
    self.length = length
    self.texts = texts
  }

  public var count: Int { texts.reduce(0) { $0 + $1.hashes.count } }

  /// All hashes, to look contexts up in.
  public var hashes: Set<UInt64> { Set(texts.flatMap(\.hashes)) }

  /// XXH3-64 of a context's tokens, each as a little-endian U32.
  public static func hash(_ tokens: [Int]) -> UInt64 {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(4 * tokens.count)
    for token in tokens {
      let value = UInt32(truncatingIfNeeded: token)
      for shift in stride(from: UInt32(0), to: 32, by: 8) { bytes.append(UInt8(value >> shift & 0xFF)) }
    }
    return XXH3.hash(Bytes(bytes).span)
  }
}

/// What calibration statistics have to do with contexts that something is measured on.
public enum Novelty: String, Sendable {
  /// They have seen none of them, or there are no statistics.
  case unseen
  /// They were made of a text of the same name, and do not say of which contexts.
  case unknown
  /// They have seen all contexts of the texts.
  case seen
}

extension SeenContexts {
  /// As files have it: the hashes of a text are one string, 16 hexadecimal digits each.
  public var json: JSON {
    [
      "length": JSON(length),
      "texts": .array(
        texts.map { ["name": .string($0.name), "contexts": .string($0.hashes.map(hexDigits).joined())] }),
    ]
  }

  /// - Returns: nil when `json` is something else.
  public init?(_ json: JSON?) {
    guard let length = json?["length"]?.int, length > 0, let entries = json?["texts"]?.array else {
      return nil
    }
    var texts: [Text] = []
    for entry in entries {
      guard let name = entry["name"]?.string, let digits = entry["contexts"]?.string.map({ Array($0.utf8) }),
        digits.count % 16 == 0
      else { return nil }
      var hashes: [UInt64] = []
      for start in stride(from: 0, to: digits.count, by: 16) {
        guard let hash = UInt64(String(decoding: digits[start..<start + 16], as: UTF8.self), radix: 16) else {
          return nil
        }
        hashes.append(hash)
      }
      texts.append(Text(name: name, hashes: hashes))
    }
    self.init(length: length, texts: texts)
  }
}
