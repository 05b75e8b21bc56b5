import IngotSystem

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Searching names as bytes: strings are searched by Unicode's rules, which takes a hundred times as long.
enum Text {
  /// Whether a name has the word in it.
  static func holds(_ name: String.UTF8View, _ word: String) -> Bool {
    unsafe name.withContiguousStorageIfAvailable { unsafe holds(UnsafeRawBufferPointer($0), word) }
      ?? String(name).contains(word)
  }

  /// Whether the bytes have the word in them.
  static func holds(_ bytes: Bytes, _ word: String) -> Bool {
    unsafe bytes.span.withUnsafeBytes { unsafe holds($0, word) }
  }

  private static func holds(_ bytes: UnsafeRawBufferPointer, _ word: String) -> Bool {
    var word = word
    return word.withUTF8 { word in
      guard let first = unsafe word.first else { return true }
      var start = 0
      while start + word.count <= bytes.count,
        let found = unsafe memchr(
          bytes.baseAddress! + start, Int32(first), bytes.count - start - word.count + 1)
      {
        if unsafe memcmp(found, word.baseAddress!, word.count) == 0 { return true }
        start = unsafe UnsafeRawPointer(found) - bytes.baseAddress! + 1
      }
      return false
    }
  }
}
