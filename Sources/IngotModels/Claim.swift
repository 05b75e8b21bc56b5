import IngotSystem
import IngotTensors

/// A statement about a model, as spec sheets make them: `total=230B`, `experts=256`, `positions=rotary`.
public struct Claim: Hashable, Sendable {
  public var name: String
  public var value: String

  /// What the files say of a claim.
  public struct Verdict: Sendable {
    public var claim: Claim
    public var holds: Bool
    /// The figure the files bear out.
    public var actual: String
    /// Where it was read.
    public var source: String
  }

  public static let names = [
    "total", "active", "layers", "hidden", "experts", "activeExperts", "sharedExperts", "heads", "kvHeads",
    "headDim",
    "context", "vocabulary", "ropeTheta", "slidingWindow", "qkNorm", "positions", "license",
  ]

  public init(name: String, value: String) {
    self.name = name
    self.value = value
  }

  /// `NAME=VALUE`; nil when the text is not of that form or the name is none that can be checked.
  public init?(_ text: String) {
    guard let equal = text.firstIndex(of: "=") else { return nil }
    name = String(text[..<equal])
    value = String(text[text.index(after: equal)...])
    guard Claim.names.contains(name), !value.isEmpty else { return nil }
  }

  /// Holds the claim against a model.
  public func verdict(_ summary: ModelSummary) -> Verdict {
    let blueprint = summary.blueprint
    let attention = blueprint.headed
    func number(_ actual: Int, _ source: String) -> Verdict {
      Verdict(claim: self, holds: Claim.agrees(value, actual), actual: grouped(actual), source: source)
    }
    func word(_ accepted: [String], _ actual: String, _ source: String) -> Verdict {
      Verdict(claim: self, holds: accepted.contains(value.lowercased()), actual: actual, source: source)
    }
    // Sheets count in different ways; the one that bears the claim out is named, else the first.
    func anyNumber(_ ways: [(actual: Int, source: String)]) -> Verdict {
      let way = ways.first { Claim.agrees(value, $0.actual) } ?? ways[0]
      return number(way.actual, way.source)
    }
    guard blueprint.isKnown || name == "total" || name == "license" else {
      return Verdict(
        claim: self, holds: false, actual: "not known",
        source: "config.json has a model_type of no known family")
    }
    switch name {
    case "total":
      return anyNumber([
        (summary.total, "shapes of all tensors"),
        (summary.total - summary.predictionParameters, "shapes, without multi-token prediction"),
      ])
    case "active":
      let shapes = "shapes, num_experts_per_tok"
      return anyNumber([
        (summary.active, "\(shapes); without embedding and head"),
        (summary.activeWithHead, "\(shapes); with the head"),
        (summary.activeWithEmbedding, "\(shapes); with embedding and head"),
      ])
    case "layers": return number(blueprint.layerCount, "num_hidden_layers")
    case "hidden": return number(blueprint.hiddenSize, "hidden_size")
    case "experts": return number(blueprint.experts.count, "number of experts in config.json")
    case "activeExperts": return number(blueprint.experts.perToken, "num_experts_per_tok")
    case "sharedExperts": return number(blueprint.experts.shared, "shared_intermediate_size")
    case "heads": return number(attention?.heads ?? 0, "num_attention_heads")
    case "kvHeads": return number(attention?.keyValueHeads ?? 0, "num_key_value_heads")
    case "headDim": return number(attention?.headDim ?? 0, "head_dim")
    case "context": return number(blueprint.contextLength, "max_position_embeddings")
    case "vocabulary": return number(blueprint.vocabulary, "vocab_size")
    case "ropeTheta":
      return number((attention?.rotation?.theta.rounded()).flatMap { Int(exactly: $0) } ?? 0, "rope_theta")
    case "slidingWindow":
      guard let window = blueprint.slidingWindow else {
        return word(["none", "null", "no", "false"], "none", "sliding_window, attn_type_list")
      }
      return number(window, "sliding_window")
    case "qkNorm":
      let kind = attention?.queryKeyNorm ?? .none
      let accepted =
        kind == .none
        ? ["none", "no", "false"] : [kind.rawValue, kind.rawValue.replacing("_", with: "-"), "yes", "true"]
      return word(accepted, kind.rawValue, "use_qk_norm, qk_norm_type")
    case "positions":
      guard let attention, let rotary = attention.rotation else {
        return word(["none"], "none", "config.json")
      }
      let part = "\(rotary.dims) of \(attention.headDim) dims"
      return word(
        ["rotary", "rope", "partial rotary", "partial rope"], "rotary, \(part)", "rotary_dim, rope_theta")
    case "license":
      return word(
        summary.license.map { [$0.lowercased()] } ?? [], summary.license ?? "not stated", "README.md, LICENSE"
      )
    default: preconditionFailure("'\(name)' is no claim's name")
    }
  }

  /// Whether a claimed number, written with as many digits as its author liked (`230B`, `9.8e9`, `196,608`, `192k`),
  /// is the actual one rounded to those digits.
  static func agrees(_ text: String, _ actual: Int) -> Bool {
    var digits = text.lowercased().filter { $0 != "," && $0 != "_" && $0 != " " }
    if digits == String(actual) { return true }
    var scales = [1.0]
    let suffixes: [(Character, [Double])] = [
      ("k", [1e3, 1024]), ("m", [1e6, 1_048_576]), ("b", [1e9]), ("g", [1e9]), ("t", [1e12]),
    ]
    if let last = digits.last, let suffix = suffixes.first(where: { $0.0 == last }) {
      scales = suffix.1
      digits.removeLast()
    }
    guard let value = Double(digits), value.isFinite, value >= 0 else { return false }
    let exponent = digits.split(separator: "e").dropFirst().first.flatMap { Int($0) } ?? 0
    let mantissa = digits.split(separator: "e").first ?? ""
    let decimals =
      mantissa.split(separator: ".", omittingEmptySubsequences: false).dropFirst().first?.count ?? 0
    // Half a unit of the last digit that was written; whole numbers without a suffix must be exact.
    let rounded = scales != [1.0] || exponent != 0
    return scales.contains { scale in
      var unit = rounded ? scale : 0
      if rounded {
        for _ in 0..<max(exponent, 0) { unit *= 10 }
        for _ in 0..<decimals { unit /= 10 }
      }
      return abs(value * scale - Double(actual)) <= unit / 2
    }
  }
}
