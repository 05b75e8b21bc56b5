import IngotSystem

/// How a tokenizer cuts a text into words, apart from its vocabulary.
public struct TextCut: Sendable, Equatable {
  private let preTokenizer: PreTokenizer

  init(_ preTokenizer: PreTokenizer) { self.preTokenizer = preTokenizer }

  /// Reads a cut.
  /// - Parameters:
  ///   - json: what stands under `pre_tokenizer` in a tokenizer.json.
  ///   - path: the file, for errors.
  /// - Throws: `FormatError` for a pre-tokenizer that is not supported.
  public init(_ json: JSON, path: String) throws(FormatError) {
    preTokenizer = try PreTokenizer(JSONPlace(path: path, name: "pre_tokenizer", json: json))
  }

  /// The words of `text` in order; behaviors that remove text leave it out.
  public func words(of text: String) -> [String] {
    let words = preTokenizer.words(of: Array(text.utf8))
    return words.ranges.map { String(decoding: words.text[$0], as: UTF8.self) }
  }

  /// Whether both take the same steps by the same expressions. Cuts in other words can still be alike.
  public static func == (left: TextCut, right: TextCut) -> Bool {
    let (left, right) = (left.preTokenizer, right.preTokenizer)
    return left.isByteLevel == right.isByteLevel && left.stages.elementsEqual(right.stages, by: ==)
  }
}

extension PreTokenizer.Stage {
  fileprivate static func == (left: Self, right: Self) -> Bool {
    switch (left, right) {
    case (.cut(let one), .cut(let other)):
      one.pattern.source == other.pattern.source && one.behavior == other.behavior
        && one.inverted == other.inverted
    case (.space, .space), (.alphabet, .alphabet): true
    case (.metaspace(let one), .metaspace(let other)):
      one.scalar == other.scalar && one.scheme == other.scheme && one.isCut == other.isCut
    default: false
    }
  }
}

extension Tokenizer {
  /// How texts are cut into words.
  public var cut: TextCut { TextCut(preTokenizer) }
}
