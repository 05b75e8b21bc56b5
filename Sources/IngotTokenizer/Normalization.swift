/// Unicode's normalization forms, by the tables of Hugging Face's library.
enum Normalization: String, Sendable, CaseIterable {
  case nfc = "NFC"
  case nfd = "NFD"
  case nfkc = "NFKC"
  case nfkd = "NFKD"

  private var composes: Bool { self == .nfc || self == .nfkc }
  private var isCompatible: Bool { self == .nfkc || self == .nfkd }

  /// `text`, which is well-formed UTF-8, in this form.
  func applied(to text: [UInt8]) -> [UInt8] {
    let data = NormalizationData.shared
    if text.allSatisfy({ $0 < 0x80 }) { return text }
    var scalars: [UInt32] = []
    scalars.reserveCapacity(text.count)
    var isInert = true
    for scalar in String(decoding: text, as: UTF8.self).unicodeScalars {
      scalars.append(scalar.value)
      if isInert { isInert = data.isInert(scalar.value, self) }
    }
    if isInert { return text }
    scalars = data.decomposed(scalars, compatible: isCompatible)
    if composes { scalars = data.composed(scalars) }
    var result = String.UnicodeScalarView()
    for value in scalars { if let scalar = Unicode.Scalar(value) { result.append(scalar) } }
    return Array(String(result).utf8)
  }
}

/// The tables, read.
struct NormalizationData: Sendable {
  static let shared = NormalizationData()

  private var canonical: [UInt32: [UInt32]] = [:]
  private var compatible: [UInt32: [UInt32]] = [:]
  private var classes: [UInt32: UInt8] = [:]
  /// first << 32 | second → what they compose to.
  private var pairs: [UInt64: UInt32] = [:]
  /// Second parts of pairs that are starters.
  private var joining: Set<UInt32> = []
  private var excluded: Set<UInt32> = []

  private init() {
    canonical = Self.mapping(NormalizationTable.canonical)
    compatible = Self.mapping(CompatibilityTable.entries)
    for entry in NormalizationTable.classes.split(separator: " ") {
      let sides = entry.split(separator: "=")
      for value in Self.range(sides[0]) { classes[value] = UInt8(sides[1]) ?? 0 }
    }
    for entry in NormalizationTable.excluded.split(separator: " ") { excluded.formUnion(Self.range(entry)) }
    // Shorter ones first: a pair's first part may be composed itself.
    let composed = canonical.filter { $0.value.count > 1 && !excluded.contains($0.key) }
      .sorted { ($0.value.count, $0.key) < ($1.value.count, $1.key) }
    for (value, parts) in composed {
      var first = parts[0]
      for part in parts[1..<parts.count - 1] { first = pairs[Self.key(first, part)] ?? 0 }
      pairs[Self.key(first, parts[parts.count - 1])] = value
      if classes[parts[parts.count - 1]] == nil { joining.insert(parts[parts.count - 1]) }
    }
  }

  private static func key(_ first: UInt32, _ second: UInt32) -> UInt64 {
    UInt64(first) << 32 | UInt64(second)
  }

  private static func range(_ text: Substring) -> ClosedRange<UInt32> {
    let ends = text.split(separator: "-").map { UInt32($0, radix: 16) ?? 0 }
    return ends[0]...ends[ends.count - 1]
  }

  private static func mapping(_ text: String) -> [UInt32: [UInt32]] {
    var result: [UInt32: [UInt32]] = [:]
    var source: UInt32 = 0
    for entry in text.split(separator: " ") {
      let sides = entry.split(separator: "=")
      let place = sides[0].split(separator: "+").map { UInt32($0, radix: 16) ?? 0 }
      let targets = sides[1].split(separator: ".").map { UInt32($0, radix: 16) ?? 0 }
      source += place[0]
      for step in 0..<(place.count > 1 ? place[1] : 1) {
        result[source + step] = targets.count == 1 ? [targets[0] + step] : targets
      }
    }
    return result
  }

  // Hangul syllables are computed: L V and perhaps T.
  private static let syllables: UInt32 = 0xAC00
  private static let (leading, vowels, trailing): (UInt32, UInt32, UInt32) = (0x1100, 0x1161, 0x11A7)
  private static let (leadingCount, vowelCount, trailingCount): (UInt32, UInt32, UInt32) = (19, 21, 28)

  private static func isSyllable(_ value: UInt32) -> Bool {
    value >= syllables && value < syllables + leadingCount * vowelCount * trailingCount
  }

  /// Whether a text of such code points alone is in this form.
  func isInert(_ value: UInt32, _ form: Normalization) -> Bool {
    if value < 0xA0 { return true }
    if classes[value] != nil { return false }
    let composes = form == .nfc || form == .nfkc
    if form == .nfkc || form == .nfkd, compatible[value] != nil { return false }
    if composes {
      if value >= Self.vowels, value < Self.trailing + Self.trailingCount { return false }
      if joining.contains(value) { return false }
      guard let parts = canonical[value] else { return true }
      return parts.count > 1 && !excluded.contains(value)
    }
    return canonical[value] == nil && !Self.isSyllable(value)
  }

  /// Decomposed, marks in the order of their classes.
  func decomposed(_ scalars: [UInt32], compatible isCompatible: Bool) -> [UInt32] {
    var result: [UInt32] = []
    result.reserveCapacity(scalars.count + scalars.count / 2)
    for value in scalars {
      if isCompatible, let parts = compatible[value] {
        result += parts
      } else if let parts = canonical[value] {
        result += parts
      } else if Self.isSyllable(value) {
        let index = value - Self.syllables
        result.append(Self.leading + index / (Self.vowelCount * Self.trailingCount))
        result.append(Self.vowels + index / Self.trailingCount % Self.vowelCount)
        if index % Self.trailingCount > 0 { result.append(Self.trailing + index % Self.trailingCount) }
      } else {
        result.append(value)
      }
    }
    var start = 0
    while start < result.count {
      guard classes[result[start]] != nil else {
        start += 1
        continue
      }
      var end = start + 1
      while end < result.count, classes[result[end]] != nil { end += 1 }
      if end - start > 1 {
        let marks = result[start..<end].enumerated().map { (classes[$1] ?? 0, $0, $1) }
        result.replaceSubrange(start..<end, with: marks.sorted { ($0.0, $0.1) < ($1.0, $1.1) }.map(\.2))
      }
      start = end
    }
    return result
  }

  /// What composes, composed: a mark joins the starter before it unless one of its class or higher lies between.
  func composed(_ scalars: [UInt32]) -> [UInt32] {
    var result: [UInt32] = []
    result.reserveCapacity(scalars.count)
    var starter: Int?
    var lastClass: UInt8 = 0
    for value in scalars {
      let number = classes[value] ?? 0
      if let place = starter {
        let isAdjacent = place == result.count - 1
        if isAdjacent || lastClass < number, let both = composition(result[place], value) {
          result[place] = both
          continue
        }
      }
      if number == 0 { starter = result.count }
      lastClass = number
      result.append(value)
    }
    return result
  }

  private func composition(_ first: UInt32, _ second: UInt32) -> UInt32? {
    if first >= Self.leading, first < Self.leading + Self.leadingCount, second >= Self.vowels,
      second < Self.vowels + Self.vowelCount
    {
      return Self.syllables
        + ((first - Self.leading) * Self.vowelCount + second - Self.vowels) * Self.trailingCount
    }
    if Self.isSyllable(first), (first - Self.syllables) % Self.trailingCount == 0, second > Self.trailing,
      second < Self.trailing + Self.trailingCount
    {
      return first + second - Self.trailing
    }
    return pairs[Self.key(first, second)]
  }
}
