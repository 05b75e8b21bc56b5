/// A token that is looked for in the text itself, before the text is cut into words.
public struct AddedToken: Hashable, Sendable {
  /// Its number.
  public let id: Int
  /// The text that it matches.
  public let content: String
  /// Whether it matches only where no word character stands beside it.
  public let isSingleWord: Bool
  /// Whether it takes the white space before it along.
  public let stripsLeft: Bool
  /// Whether it takes the white space behind it along.
  public let stripsRight: Bool
  /// Whether it is looked for in the text after normalization.
  public let isNormalized: Bool
  /// Whether it is for control (begin of text, end of turn) and may be left out in decoding.
  public let isSpecial: Bool

  package init(
    id: Int, content: String, isSingleWord: Bool = false, stripsLeft: Bool = false, stripsRight: Bool = false,
    isNormalized: Bool = false, isSpecial: Bool
  ) {
    self.id = id
    self.content = content
    self.isSingleWord = isSingleWord
    self.stripsLeft = stripsLeft
    self.stripsRight = stripsRight
    self.isNormalized = isNormalized
    self.isSpecial = isSpecial
  }

  /// The same with another number.
  func numbered(_ id: Int) -> AddedToken {
    AddedToken(
      id: id, content: content, isSingleWord: isSingleWord, stripsLeft: stripsLeft, stripsRight: stripsRight,
      isNormalized: isNormalized, isSpecial: isSpecial)
  }

  /// The same as a special token.
  var special: AddedToken {
    AddedToken(
      id: id, content: content, isSingleWord: isSingleWord, stripsLeft: stripsLeft, stripsRight: stripsRight,
      isNormalized: isNormalized, isSpecial: true)
  }

  /// A special token that is found as it stands.
  init(special content: String, _ id: Int) { self.init(id: id, content: content, isSpecial: true) }
}
