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
    var bytes = Array(text.utf8)
    if preTokenizer.addsSpace, bytes.first != 0x20 { bytes.insert(0x20, at: 0) }
    return preTokenizer.words(of: bytes, in: 0..<bytes.count).map {
      String(decoding: bytes[$0], as: UTF8.self)
    }
  }

  /// Whether both take the same steps by the same expressions. Cuts in other words can still be alike.
  public static func == (left: TextCut, right: TextCut) -> Bool {
    let (left, right) = (left.preTokenizer, right.preTokenizer)
    return left.addsSpace == right.addsSpace
      && left.steps.elementsEqual(right.steps) {
        $0.pattern.source == $1.pattern.source && $0.behavior == $1.behavior && $0.inverted == $1.inverted
      }
  }
}

extension Tokenizer {
  /// How texts are cut into words.
  public var cut: TextCut { TextCut(preTokenizer) }
}
