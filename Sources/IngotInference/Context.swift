import IngotModels
import IngotSystem
import IngotTensors

/// Consecutive tokens of a text, seen by the model as one sequence from position 0.
public struct Context: Hashable, Sendable {
  /// Indices into the vocabulary.
  public var tokens: [Int]
  /// Name of the text they come from, by which reports group contexts; nil for none.
  public var text: String?
  /// Of each token, what part of a conversation it is; empty for a text that is none.
  package var kinds: [SpanKind] = []
  /// Names and arguments of calls, in the order of their tokens.
  package var calls: [CallSpan] = []
  /// Whether every token but the first is scored: the context is a whole conversation.
  package var isScoredWhole = false

  public init(_ tokens: [Int], text: String? = nil) {
    self.tokens = tokens
    self.text = text
  }

  /// Cuts a text into contexts of `length` tokens that do not overlap; what is left over at its end is not used.
  public static func cut(_ tokens: [Int], length: Int, text: String? = nil) -> [Context] {
    precondition(length > 0, "a context has tokens")
    return (0..<tokens.count / length).map {
      Context(Array(tokens[$0 * length..<($0 + 1) * length]), text: text)
    }
  }

  /// Positions whose logits are scored, against the token after each: the first half of a context of n tokens is
  /// there to be seen only, so these are n/2 … n − 2, as llama.cpp's llama-perplexity has it. Of a whole conversation all are.
  public var scoredPositions: Range<Int> {
    let first = isScoredWhole ? 0 : tokens.count / 2
    return first..<max(first, tokens.count - 1)
  }
}

extension [Context] {
  /// Refuses contexts that a model cannot take.
  func check(for model: Model) throws(FormatError) {
    let blueprint = model.blueprint
    try checkRotation(model)
    for (index, context) in enumerated() {
      let tokens = context.tokens
      guard !tokens.isEmpty, tokens.count <= blueprint.contextLength else {
        throw FormatError(
          path: model.path, expected: "contexts of 1 to \(blueprint.contextLength) tokens",
          found: "\(tokens.count) tokens in \(name(index))"
            + (tokens.isEmpty ? "" : "; give shorter contexts"))
      }
      if let position = tokens.firstIndex(where: { !(0..<blueprint.vocabulary).contains($0) }) {
        throw FormatError(
          path: model.path,
          expected: "tokens from 0 to \(blueprint.vocabulary - 1), the rows of the model's embedding",
          found: "\(tokens[position]) at position \(position) of \(name(index))")
      }
    }
  }

  /// Refuses contexts for which a rotation is not known.
  private func checkRotation(_ model: Model) throws(FormatError) {
    let rotations = model.blueprint.layers.flatMap { ($0.mixer as? any ExecutableMixer)?.rotations ?? [] }
    guard let longest = rotations.compactMap(\.longestContext).min(),
      let index = firstIndex(where: { $0.tokens.count > longest })
    else { return }
    throw FormatError(
      path: model.path,
      expected: "contexts of at most \(longest) tokens, for which its rotation (longrope) is known",
      found: "\(self[index].tokens.count) tokens in \(name(index)); give shorter contexts")
  }

  /// A context in messages.
  func name(_ index: Int) -> String {
    "context \(index)" + (self[index].text.map { " ('\(printable($0))')" } ?? "")
  }
}
