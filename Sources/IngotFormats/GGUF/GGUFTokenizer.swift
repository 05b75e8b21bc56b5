import IngotModels
import IngotSystem
import IngotTensors
import IngotTokenizer

/// What GGUF calls a tokenizer and its parts.
enum GGUFTokenizer {
  static let modelKey = "tokenizer.ggml.model"
  static let preKey = "tokenizer.ggml.pre"
  static let tokensKey = "tokenizer.ggml.tokens"
  static let typesKey = "tokenizer.ggml.token_type"
  static let mergesKey = "tokenizer.ggml.merges"
  static let scoresKey = "tokenizer.ggml.scores"
  static let addSpaceKey = "tokenizer.ggml.add_space_prefix"
  static let removeSpacesKey = "tokenizer.ggml.remove_extra_whitespaces"
  static let characterMapKey = "tokenizer.ggml.precompiled_charsmap"
  static let unknownKey = "tokenizer.ggml.unknown_token_id"
  static let addBeginKey = "tokenizer.ggml.add_bos_token"
  static let addEndKey = "tokenizer.ggml.add_eos_token"
  static let templateKey = "tokenizer.chat_template"

  /// Byte-level BPE.
  static let byteLevel = "gpt2"
  /// SentencePiece, whose pieces are joined by scores.
  static let bytePairPieces = "llama"
  /// SentencePiece, the cut of the greatest sum of scores.
  static let unigramPieces = "t5"
  /// BPE of characters, with U+2581 for spaces and pieces of bytes for what has no token.
  static let spacedPairs = "gemma4"
  /// Names of cuts under `gpt2` that mean the same.
  static let spacedCuts: Set<String> = ["gemma4", "granite-embed-multi-311m", "sarvam-moe"]
  /// No tokenizer at all.
  static let none = "none"
  /// A text with every kind of word that the cuts known to llama.cpp tell apart.
  static let sample = """
    Ein Satz, don't WE'LL it'S it'sy I'd've o'clock 'tis XMLHttpRequest fooBar2Baz ÀÉîõ ǅungla nǈ x́y\u{301}z
    1 12 123 1234 12345678 3.14 1,000 ½ Ⅷ ٣٤٥ x1y22z333  44 #tag @user $100 50% a-b a_b a/b //path/to/file http://a.b/c?d=e
    \t\tif (a[i] != b) { return -1; }  // two  spaces   three
    \r\n\r\n\n \n  \n\t\n   trailing  \u{A0}\u{3000}wide
    中文字符，日本語のテキスト。한국어이다!네「…」！？<sentinel:12> IMGIMGABZ    x ㄅㄆ ไทย हिन्दी العربية עברית ελληνικά Кириллица 🙂👩‍👩‍👧🏽 !!!??? ...\n/\n;;\r\n
    """

  /// Kinds of tokens by their number in `tokenizer.ggml.token_type`.
  enum Kind: Int32 {
    case normal = 1
    case unknown = 2
    /// Special: an added token that decoding may leave out.
    case control = 3
    /// An added token that is plain text.
    case userDefined = 4
    case unused = 5
    case byte = 6
  }

  /// Tokens that stand in for others, by what both sides call them.
  static let named = [
    (config: "bos_token", key: "tokenizer.ggml.bos_token_id"),
    (config: "eos_token", key: "tokenizer.ggml.eos_token_id"),
    (config: "unk_token", key: unknownKey),
    (config: "pad_token", key: "tokenizer.ggml.padding_token_id"),
  ]

  /// Sampling advice of generation_config.json, as llama.cpp's keys carry it.
  static let sampling = [
    (config: "temperature", key: "general.sampling.temp"), (config: "top_p", key: "general.sampling.top_p"),
    (config: "min_p", key: "general.sampling.min_p"), (config: "top_k", key: "general.sampling.top_k"),
  ]

  /// Further tokens that end an answer, beside the end token: llama.cpp stops at each.
  static let otherEnds = ["tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"]
}
