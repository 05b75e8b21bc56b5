import IngotModels
import IngotSystem
import IngotTensors
import IngotTokenizer

/// A cut of texts into words that llama.cpp knows by a name, and what else the name decides.
///
/// The steps are those of the tokenizer.json that models of this name are published with: they were trained with that
/// cut. llama.cpp's tokens differ from it in rare places (scripts/tools check-llama-vocabs counts them): it folds case in
/// ASCII only, and where a cut asks for upper or lower case it takes every letter outside ASCII as both. `falcon`
/// and `default` are cut as llama.cpp does: no tokenizer.json that we read can say what Falcon's own does.
///
/// Source: llama.cpp, src/llama-vocab.cpp and src/unicode.cpp, September 2026.
package struct GGUFPreTokenizer: Sendable {
  enum Step: Sendable, Equatable {
    /// Matches of an expression are words, and so is what lies between them.
    case split(String)
    /// Every digit is a word.
    case digits
    /// GPT-2's expression, as ByteLevel applies it.
    case gpt2
    /// Before spaces; they have become U+2581 before, so that it cuts nowhere. Words are characters.
    case spaces
  }

  /// Values of `tokenizer.ggml.pre` that mean this; the first is written.
  package let names: [String]
  let steps: [Step]
  /// Whether a word that is a token is taken whole, without a look at the merges.
  package let ignoresMerges: Bool
  /// Whether the begin token goes before a text where no key says.
  let addsBegin: Bool
  /// Whether there is no begin token unless a key names one; for others it would be number 11.
  let lacksBegin: Bool

  init(
    _ names: [String], _ steps: [Step], ignoresMerges: Bool = false, addsBegin: Bool = false,
    lacksBegin: Bool = false
  ) {
    self.names = names
    self.steps = steps
    self.ignoresMerges = ignoresMerges
    self.addsBegin = addsBegin
    self.lacksBegin = lacksBegin
  }

  /// The cut itself, its expressions compiled anew.
  package var cut: TextCut {
    do throws(FormatError) {
      return try TextCut(json, path: names[0])
    } catch {
      preconditionFailure("\(error)")
    }
  }

  /// The expressions of the steps, as `Tokenizer.patterns` has them.
  private var patterns: [String] {
    steps.map { step in
      switch step {
      case .split(let pattern): pattern
      case .digits: #"\p{N}"#
      case .gpt2: Tokenizer.gpt2Pattern
      case .spaces: " "
      }
    }
  }

  /// Whether words are characters, with U+2581 for spaces, rather than bytes.
  var isSpaced: Bool { steps == [.spaces] }

  /// What stands under `pre_tokenizer` in a tokenizer.json.
  package var json: JSON {
    if isSpaced {
      return [
        "type": "Split", "pattern": ["String": " "], "behavior": "MergedWithPrevious", "invert": false,
      ]
    }
    let endsInGPT2 = steps.last == .gpt2
    let byteLevel: JSON = [
      "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": .bool(endsInGPT2),
    ]
    let parts = (endsInGPT2 ? steps.dropLast() : steps[...]).map(GGUFPreTokenizer.part)
    return parts.isEmpty ? byteLevel : ["type": "Sequence", "pretokenizers": .array(parts + [byteLevel])]
  }

  /// What stands under `normalizer` in a tokenizer.json.
  var normalizer: JSON {
    isSpaced ? ["type": "Replace", "pattern": ["String": " "], "content": "\u{2581}"] : .null
  }

  /// What stands under `decoder` in a tokenizer.json.
  var decoder: JSON {
    if !isSpaced {
      return ["type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true]
    }
    let space: JSON = ["type": "Replace", "pattern": ["String": "\u{2581}"], "content": " "]
    return ["type": "Sequence", "decoders": [space, ["type": "ByteFallback"], ["type": "Fuse"]]]
  }

  private static func part(_ step: Step) -> JSON {
    switch step {
    case .split(let pattern):
      ["type": "Split", "pattern": ["Regex": .string(pattern)], "behavior": "Isolated", "invert": false]
    case .digits: ["type": "Digits", "individual_digits": true]
    case .gpt2: part(.split(Tokenizer.gpt2Pattern))
    case .spaces: part(.split(" "))
    }
  }

  /// The one of a name; nil for a name that is not known.
  static func named(_ name: String) -> GGUFPreTokenizer? {
    if GGUFTokenizer.spacedCuts.contains(name) { return .spaced }
    return all.first { $0.names.contains(name) }
  }

  /// That of Gemma 4, which is not of bytes.
  static let spaced = GGUFPreTokenizer(["gemma4"], [.spaces])

  /// Texts with every kind of word that the cuts tell apart.
  package static let sample = GGUFTokenizer.sample

  /// The cut that gives `tokenizer`'s words: first one in the same words, otherwise one that cuts `sample` alike.
  /// Of several the one for models without begin token if `tokenizer` has none, then the first of `all`.
  ///
  /// - Returns: nil if there is none. `ignoresMerges` is `tokenizer`'s.
  static func cutting(as tokenizer: Tokenizer) -> GGUFPreTokenizer? {
    let known = all.filter { $0.ignoresMerges == tokenizer.ignoresMerges }
    let lacksBegin = tokenizer.beginToken == nil
    func best(_ equal: (GGUFPreTokenizer) -> Bool) -> GGUFPreTokenizer? {
      let found = known.filter(equal)
      return found.first { $0.lacksBegin && lacksBegin } ?? found.first { !$0.lacksBegin } ?? found.first
    }
    let patterns = tokenizer.patterns
    let cut = tokenizer.cut
    if let same = best({ $0.patterns == patterns && $0.cut == cut }) { return same }
    let words = cut.words(of: sample)
    return best { $0.cut.words(of: sample) == words }
  }
}
