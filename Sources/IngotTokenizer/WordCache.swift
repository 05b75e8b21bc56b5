/// Tokens of words met before, for one run over a text. Bounded: a full place is given to the newcomer.
struct WordCache {
  private struct Entry {
    var hash: UInt64 = 0
    var key: Range<Int> = 0..<0
    var tokens: Range<Int> = 0..<0
  }

  /// Longer words are rare and not kept.
  private static let longest = 48
  /// Where the buffers are emptied and everything starts over.
  private static let mostBytes = 1 << 20

  /// There are 2^bits places.
  private let bits: Int
  private var entries: [Entry]
  private var keys: [UInt8] = []
  private var tokens: [Int32] = []

  /// - Parameter textBytes: how long the text will be, about.
  init(textBytes: Int) {
    bits = min(14, max(4, (Int.bitWidth - (textBytes / 8).leadingZeroBitCount)))
    entries = [Entry](repeating: Entry(), count: 1 << bits)
  }

  private static func hash(_ word: ArraySlice<UInt8>) -> UInt64 {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    for byte in word { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
    return hash ^ hash >> 29
  }

  /// Adds the tokens of `word` to `result`, out of the cache or else by `encode`.
  mutating func append(
    _ word: ArraySlice<UInt8>, to result: inout [Int32], encode: (inout [Int32]) -> Void
  ) {
    if word.count > Self.longest { return encode(&result) }
    let hash = Self.hash(word)
    let place = Int(hash >> UInt64(64 - bits))
    let entry = entries[place]
    if entry.hash == hash, keys[entry.key].elementsEqual(word), !entry.key.isEmpty {
      result += tokens[entry.tokens]
      return
    }
    let start = result.count
    encode(&result)
    if keys.count + tokens.count > Self.mostBytes {
      entries = [Entry](repeating: Entry(), count: 1 << bits)
      keys.removeAll(keepingCapacity: true)
      tokens.removeAll(keepingCapacity: true)
    }
    let key = keys.count..<keys.count + word.count
    let kept = tokens.count..<tokens.count + result.count - start
    keys += word
    tokens += result[start...]
    entries[place] = Entry(hash: hash, key: key, tokens: kept)
  }
}
