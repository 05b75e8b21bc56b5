import IngotModels

/// What layers leave for later ones beside the residual stream, of one context.
struct Carried: Sendable {
  /// The keys that the last indexer chose; nil where the next layer does not want them, and where queries see all before them.
  var choice: KeyChoice?
  /// Keys and values that layers share, (tokens, keyValueHeads · headDim) each, by the number of their place, and how many tokens'
  /// at the beginning are left out.
  var keyValues: [Int: (keys: [Float], values: [Float], dropped: Int)] = [:]
  /// The state before the first layer, which layers with inputs of their own read again: (tokens, hidden). Empty for none.
  var embedded: [Float] = []
  /// What the layer at hand keeps of earlier tokens, where a sequence is continued; nil for a whole context.
  var past: Past?
}

/// Between two layers a pass keeps what is carried behind each context's states, always as many values, so that a stopped run
/// goes on to the same result.
extension Carried {
  /// Places of keys and values, and the values of a token in each.
  private static func places(_ blueprint: Blueprint) -> [(place: Int, width: Int)] {
    var widths: [Int: Int] = [:]
    for layer in blueprint.layers {
      guard let attention = layer.mixer as? GroupedQueryAttention, let shared = attention.shared else {
        continue
      }
      widths[shared.place] = attention.keyWidth
    }
    return widths.sorted { $0.key < $1.key }.map { (place: $0.key, width: $0.value) }
  }

  private static func hasChoice(_ blueprint: Blueprint) -> Bool {
    blueprint.layers.contains { ($0.mixer as? LatentAttention)?.takesChoice ?? false }
  }

  private static func hasEmbedded(_ blueprint: Blueprint) -> Bool { blueprint.layerInputWidth != nil }

  /// Values of a context of so many tokens.
  static func count(_ blueprint: Blueprint, tokens: Int) -> Int {
    (hasChoice(blueprint) ? 1 + KeyChoice.count(tokens: tokens) : 0)
      + places(blueprint).reduce(0) { $0 + 2 * tokens * $1.width }
      + (hasEmbedded(blueprint) ? tokens * blueprint.hiddenSize : 0)
  }

  /// Whether there is a choice, then its words as whole numbers, which F32 holds as they are; keys and values; the embedding.
  func values(_ blueprint: Blueprint, tokens: Int) -> [Float] {
    var values: [Float] = []
    if Carried.hasChoice(blueprint) {
      values +=
        choice.map { [1] + $0.words.map { Float($0) } }
        ?? [Float](repeating: 0, count: 1 + KeyChoice.count(tokens: tokens))
    }
    for (place, width) in Carried.places(blueprint) {
      let none = [Float](repeating: 0, count: tokens * width)
      values += (keyValues[place]?.keys ?? none) + (keyValues[place]?.values ?? none)
    }
    if Carried.hasEmbedded(blueprint) { values += embedded }
    return values
  }

  init(_ values: ArraySlice<Float>, _ blueprint: Blueprint, tokens: Int) {
    var left = values
    func take(_ count: Int) -> ArraySlice<Float> {
      defer { left = left.dropFirst(count) }
      return left.prefix(count)
    }
    if Carried.hasChoice(blueprint) {
      let isChosen = take(1).first == 1
      let words = take(KeyChoice.count(tokens: tokens)).map { UInt16(clamping: Int($0)) }
      if isChosen { choice = KeyChoice(tokens: tokens, words: words) }
    }
    for (place, width) in Carried.places(blueprint) {
      keyValues[place] = (Array(take(tokens * width)), Array(take(tokens * width)), 0)
    }
    if Carried.hasEmbedded(blueprint) { embedded = Array(take(tokens * blueprint.hiddenSize)) }
  }
}

/// Values that a pass keeps of each context between two layers: the hidden state, (tokens, hidden), and what layers carry.
public func passStateCounts(_ model: Model, _ contexts: [Context]) -> [Int] {
  contexts.map {
    $0.tokens.count * model.blueprint.hiddenSize + Carried.count(model.blueprint, tokens: $0.tokens.count)
  }
}
