import IngotSystem

/// What part of a conversation tokens are.
public enum SpanKind: String, CaseIterable, Sendable {
  case system, user, thinking
  case toolName, toolArguments
  case answer, toolResult
  /// What the chat template writes around these.
  case markup

  /// In tables.
  package var title: String {
    switch self {
    case .toolName: "tool name"
    case .toolArguments: "tool arguments"
    case .toolResult: "tool result"
    default: rawValue
    }
  }
}

/// The name or the arguments of a call of a tool within a context.
package struct CallSpan: Hashable, Sendable {
  /// `toolName` or `toolArguments`.
  package var kind: SpanKind
  /// Positions of its tokens.
  package var tokens: Range<Int>
  /// Number of the call among those of the context: its name and its arguments have the same.
  package var call: Int

  package init(kind: SpanKind, tokens: Range<Int>, call: Int) {
    (self.kind, self.tokens, self.call) = (kind, tokens, call)
  }
}

extension VerificationReport {
  /// Figures of the predictions of one kind of tokens.
  public struct Span: Hashable, Sendable {
    public var kind: SpanKind
    public var tokens: Int
    public var divergence: Estimate
    public var sameTop: Estimate
  }

  /// Calls of tools whose tokens are all scored.
  ///
  /// A part of a call is reproduced where each of its tokens is the one that the model finds most probable behind those before:
  /// greedy decoding from the same beginning writes it.
  public struct ToolCalls: Hashable, Sendable {
    public var count: Int
    public var name: Reproduced
    public var arguments: Reproduced
    /// Name and arguments.
    public var whole: Reproduced
  }

  /// Shares of calls, from 0 to 1.
  public struct Reproduced: Hashable, Sendable {
    public var original: Estimate
    public var candidate: Estimate
    /// Of what the original reproduces, the share that the candidate does too; nil where it reproduces none.
    public var kept: Estimate?
  }
}

extension Summary {
  /// By kind, in the order of a conversation; none without conversations.
  func spans(_ contexts: [Context]) -> [VerificationReport.Span] {
    SpanKind.allCases.compactMap { kind in
      let members = contexts.enumerated().map { index, context in
        context.kinds.isEmpty
          ? []
          : context.scoredPositions.filter { context.kinds[$0 + 1] == kind }.map { score(index, $0, context) }
      }
      let count = members.reduce(0) { $0 + $1.count }
      guard count > 0 else { return nil }
      return .init(
        kind: kind, tokens: count, divergence: mean(members) { $0.divergence },
        sameTop: mean(members) { $0.sameTop ? 1 : 0 })
    }
  }

  /// nil where no call is scored from its beginning to its end.
  func toolCalls(_ contexts: [Context]) -> VerificationReport.ToolCalls? {
    // By context: of each call, what each model reproduces.
    let calls: [[(name: Pair, arguments: Pair)]] = contexts.enumerated().map { index, context in
      let scored = context.scoredPositions
      var parts: [Int: (name: Pair?, arguments: Pair?, isCut: Bool)] = [:]
      for span in context.calls {
        var part = parts[span.call] ?? (nil, nil, false)
        // A token is predicted at the position before it.
        guard span.tokens.lowerBound > scored.lowerBound, span.tokens.upperBound <= scored.upperBound + 1
        else {
          part.isCut = true
          parts[span.call] = part
          continue
        }
        var pair = Pair(original: true, candidate: true)
        for position in span.tokens {
          let score = score(index, position - 1, context)
          if score.originalTop != context.tokens[position] { pair.original = false }
          if score.candidateTop != context.tokens[position] { pair.candidate = false }
        }
        if span.kind == .toolName { part.name = pair } else { part.arguments = pair }
        parts[span.call] = part
      }
      return parts.sorted { $0.key < $1.key }.compactMap { _, part in
        guard let name = part.name, !part.isCut else { return nil }
        // A call without arguments has nothing there to miss.
        return (name, part.arguments ?? Pair(original: true, candidate: true))
      }
    }
    let count = calls.reduce(0) { $0 + $1.count }
    guard count > 0 else { return nil }
    return .init(
      count: count, name: reproduced(calls.map { $0.map(\.name) }),
      arguments: reproduced(calls.map { $0.map(\.arguments) }),
      whole: reproduced(
        calls.map {
          $0.map {
            Pair(
              original: $0.name.original && $0.arguments.original,
              candidate: $0.name.candidate && $0.arguments.candidate)
          }
        }))
  }

  private struct Pair {
    var original: Bool
    var candidate: Bool
  }

  private func reproduced(_ calls: [[Pair]]) -> VerificationReport.Reproduced {
    let known = calls.map { $0.filter(\.original) }
    return .init(
      original: mean(calls) { $0.original ? 1 : 0 }, candidate: mean(calls) { $0.candidate ? 1 : 0 },
      kept: known.allSatisfy(\.isEmpty) ? nil : mean(known) { $0.candidate ? 1 : 0 })
  }
}

extension VerificationReport.Span {
  var json: JSON {
    [
      "kind": .string(kind.rawValue), "tokens": JSON(tokens),
      "klDivergence": ["mean": JSON(divergence.value), "standardError": divergence.errorJSON],
      "sameTop": JSON(sameTop.value), "sameTopStandardError": sameTop.errorJSON,
    ]
  }
}

extension VerificationReport.ToolCalls {
  var json: JSON {
    ["count": JSON(count), "name": name.json, "arguments": arguments.json, "whole": whole.json]
  }
}

extension VerificationReport.Reproduced {
  var json: JSON {
    [
      "original": JSON(original.value), "candidate": JSON(candidate.value),
      "kept": kept.map { JSON($0.value) } ?? .null, "standardError": kept?.errorJSON ?? .null,
    ]
  }
}
