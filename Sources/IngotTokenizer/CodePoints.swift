/// A set of Unicode code points, as sorted closed ranges that neither overlap nor touch.
package struct CodePoints: Hashable, Sendable {
  private(set) var ranges: [ClosedRange<UInt32>]

  /// The highest code point.
  static let last: UInt32 = 0x10FFFF
  static let none = CodePoints([])
  static let all = CodePoints([0...last])

  init(_ unsorted: [ClosedRange<UInt32>]) {
    ranges = []
    for range in unsorted.sorted(by: { $0.lowerBound < $1.lowerBound }) {
      if let top = ranges.last, range.lowerBound <= top.upperBound &+ 1 {
        ranges[ranges.count - 1] = top.lowerBound...max(top.upperBound, range.upperBound)
      } else {
        ranges.append(range)
      }
    }
  }

  init(_ scalar: Unicode.Scalar) { ranges = [scalar.value...scalar.value] }

  var isEmpty: Bool { ranges.isEmpty }

  func union(_ other: CodePoints) -> CodePoints { CodePoints(ranges + other.ranges) }

  var inverted: CodePoints {
    var gaps: [ClosedRange<UInt32>] = []
    var next: UInt32 = 0
    for range in ranges {
      if range.lowerBound > next { gaps.append(next...range.lowerBound - 1) }
      next = range.upperBound + 1
    }
    if next <= Self.last { gaps.append(next...Self.last) }
    return CodePoints(gaps)
  }

  func intersection(_ other: CodePoints) -> CodePoints { inverted.union(other.inverted).inverted }

  func subtracting(_ other: CodePoints) -> CodePoints { inverted.union(other).inverted }

  func contains(_ value: UInt32) -> Bool {
    var low = 0
    var high = ranges.count
    while low < high {
      let middle = (low + high) / 2
      if ranges[middle].upperBound < value { low = middle + 1 } else { high = middle }
    }
    return low < ranges.count && ranges[low].lowerBound <= value
  }

  /// The set closed under simple case folding, for a set within ASCII: besides the other case of each
  /// letter, U+017F (long s) folds to `s` and U+212A (Kelvin sign) to `k`, as Oniguruma has it.
  var foldingASCII: CodePoints {
    var extra: [ClosedRange<UInt32>] = []
    for range in ranges {
      for value in range {
        switch value {
        case 0x41...0x5A: extra.append(value + 0x20...value + 0x20)
        case 0x61...0x7A: extra.append(value - 0x20...value - 0x20)
        default: break
        }
        if value | 0x20 == 0x73 { extra.append(0x17F...0x17F) }
        if value | 0x20 == 0x6B { extra.append(0x212A...0x212A) }
      }
    }
    return union(CodePoints(extra))
  }
}

// MARK: - Named sets

extension CodePoints {
  /// White_Space: what `\s` means to Oniguruma and to Rust.
  static let whitespace = CodePoints([
    0x09...0x0D, 0x20...0x20, 0x85...0x85, 0xA0...0xA0, 0x1680...0x1680, 0x2000...0x200A, 0x2028...0x2029,
    0x202F...0x202F, 0x205F...0x205F, 0x3000...0x3000,
  ])
  static let digits = category("Nd") ?? .none
  static let numbers = category("N") ?? .none

  /// Circled and squared letters: Alphabetic by property, symbols by category.
  private static let alphabeticSymbols = CodePoints([
    0x24B6...0x24E9, 0x1F130...0x1F149, 0x1F150...0x1F169, 0x1F170...0x1F189,
  ])
  private static let lettersMarksDigits = ["L", "M", "Nd", "Nl", "Pc"].reduce(alphabeticSymbols) {
    $0.union(category($1) ?? .none)
  }
  /// `\w` as Oniguruma has it: six Latin-1 superscripts and fractions count as well.
  static let word = lettersMarksDigits.union(CodePoints([0xB2...0xB3, 0xB9...0xB9, 0xBC...0xBE]))
  /// `\w` as Rust's regex has it (added tokens that must stand alone): the two joiners count as well.
  static let rustWord = lettersMarksDigits.union(CodePoints([0x200C...0x200D]))

  /// Code points of a general category (`Lu`), or of a group of categories (`L`); nil if there is none.
  static func category(_ name: String) -> CodePoints? {
    let parts = UnicodeTable.categories.filter {
      $0.key == name || (name.count == 1 && $0.key.hasPrefix(name))
    }
    if parts.isEmpty { return nil }
    return CodePoints(parts.values.flatMap { $0.ranges })
  }

  /// The property `\p{name}`: a category, its long name, or one of a few scripts. Case, spaces, hyphens
  /// and underscores in the name do not matter; nil for names outside the subset.
  static func property(_ name: String) -> CodePoints? {
    let plain = name.lowercased().filter { $0 != " " && $0 != "_" && $0 != "-" }
    if let short = longNames[plain] { return category(short) }
    switch plain {
    case "any": return .all
    case "whitespace", "space": return .whitespace
    default: break
    }
    if plain.utf8.count <= 2, let first = plain.first {
      if let set = category(first.uppercased() + plain.dropFirst()) { return set }
    }
    return UnicodeTable.scripts[plain]
  }

  private static let longNames = [
    "letter": "L", "mark": "M", "number": "N", "punctuation": "P", "symbol": "S", "separator": "Z",
    "other": "C",
    "uppercaseletter": "Lu", "lowercaseletter": "Ll", "titlecaseletter": "Lt", "modifierletter": "Lm",
    "otherletter": "Lo", "decimalnumber": "Nd", "letternumber": "Nl", "othernumber": "No",
  ]
}
