/// Layers that a rule is for: by number, or by their place among all of a model's layers.
///
/// In a recipe: `3`, `0-7`, `first 4`, `last 4`, `first 1/8`, `last 1/8` or `more-bits`. Parts of n layers are rounded
/// down as in llama.cpp: `first a/b` is i < a·n/b, `last a/b` is i ≥ (b − a)·n/b.
public enum LayerSet: Hashable, Sendable {
  case range(ClosedRange<Int>)
  case first(Int)
  case last(Int)
  case firstPart(Int, of: Int)
  case lastPart(Int, of: Int)
  /// The layers that llama.cpp's medium mixes give more bits: the first eighth, the last eighth, and every third one
  /// between, i < n/8 or i ≥ 7n/8 or (i − n/8) mod 3 = 2.
  case moreBits

  /// - Returns: nil when the text is none of the forms above.
  public init?(_ text: String) {
    if text == "more-bits" {
      self = .moreBits
      return
    }
    let words = text.split(separator: " ").map(String.init)
    if let word = words.first, word == "first" || word == "last" {
      guard words.count == 2 else { return nil }
      let numbers = words[1].split(separator: "/", omittingEmptySubsequences: false).map { Int($0) }
      guard numbers.count <= 2, let one = numbers[0], let other = numbers[numbers.count - 1],
        (1...10_000).contains(one), (one...10_000).contains(other)
      else { return nil }
      switch (word, numbers.count) {
      case ("first", 1): self = .first(one)
      case ("last", 1): self = .last(one)
      case ("first", _): self = .firstPart(one, of: other)
      default: self = .lastPart(one, of: other)
      }
      return
    }
    let ends = text.split(separator: "-", omittingEmptySubsequences: false)
      .map { Int($0.filter { $0 != " " }) }
    guard (1...2).contains(ends.count), let low = ends[0], let high = ends[ends.count - 1], low >= 0,
      low <= high
    else { return nil }
    self = .range(low...high)
  }

  /// Whether `layer` of a model of `count` layers is in the set.
  public func contains(_ layer: Int, of count: Int) -> Bool {
    switch self {
    case .range(let range): range.contains(layer)
    case .first(let number): layer < number
    case .last(let number): layer >= count - number
    case .firstPart(let part, let whole): layer < part * count / whole
    case .lastPart(let part, let whole): layer >= (whole - part) * count / whole
    case .moreBits: layer < count / 8 || layer >= 7 * count / 8 || (layer - count / 8) % 3 == 2
    }
  }

  /// Whether a model of `count` layers may have none of these: an eighth of four layers is no layer, and no mistake of
  /// the recipe's.
  func mayBeEmpty(of count: Int) -> Bool {
    if case .range = self { return false }
    return !(0..<count).contains { contains($0, of: count) }
  }
}
