import IngotModels
import IngotSystem
import IngotTensors

/// How far a candidate is from its original on a set of contexts. Every figure is finite.
public struct VerificationReport: Hashable, Sendable {
  /// Predictions scored.
  public var tokens: Int
  public var contexts: Int
  public var perplexity: Perplexities
  /// KL(original ‖ candidate) of the predicted distributions, in nats.
  public var divergence: Divergence
  /// How unsure the original is of these texts: the mean of 1 − Σ p² over its predictions, from 0 to 1. The divergence that
  /// errors of logits make is proportional to it.
  public var uncertainty: Double
  /// Probability of the token that comes next, candidate − original.
  public var deltaP: DeltaP
  /// Share of predictions in which both models find the same token most probable.
  public var sameTop: Double
  public var layers: [Layer]
  /// The figures for each text that contexts come from, in order of appearance; contexts without a name are in none.
  public var texts: [Text]
  /// The figures by what part of a conversation tokens are; none for texts that are no conversations.
  public var spans: [Span]
  /// nil where no call of a tool is scored from its beginning to its end.
  public var toolCalls: ToolCalls?
  /// The predictions that diverge most, the worst first; of equal ones the earlier comes first.
  public var worst: [WorstPrediction]
  public var seconds: Double
  /// The original's experts that the candidate lacks; nil for none.
  public var dropped: DroppedExperts?

  /// exp of the mean negative log-likelihood of the tokens that come next.
  public struct Perplexities: Hashable, Sendable {
    public var original: Estimate
    public var candidate: Estimate
    /// candidate / original; its error is that of paired predictions, far below those of the two.
    public var ratio: Estimate
  }

  /// A distribution over predictions.
  public struct Divergence: Hashable, Sendable {
    public var mean: Estimate
    public var median: Double
    public var p90: Double
    public var p95: Double
    public var p99: Double
    public var p999: Double
    public var maximum: Double
    public var histogram: Histogram
    /// The mean of each context, in order: what standard errors of a comparison of two candidates follow from.
    public var contextMeans: [Double]
  }

  public struct DeltaP: Hashable, Sendable {
    public var mean: Double
    /// Root of the mean square.
    public var rms: Double
  }

  /// One layer, over all tokens of all contexts.
  public struct Layer: Hashable, Sendable {
    public var layer: Int
    /// ‖candidate − original‖ / ‖original‖ of the hidden states after the layer.
    public var hiddenStateError: Double
    /// nil for a dense layer.
    public var router: Router?
    /// For each of the original's experts ‖candidate − original‖ / ‖original‖ of the outputs on up to 8 of its tokens, both getting
    /// the original's inputs; nil for an expert that got none, whose outputs are zero, or that the candidate lacks.
    public var expertErrors: [Double?]
  }

  /// How the choice of experts moved. The candidate's router sees the candidate's own hidden state.
  public struct Router: Hashable, Sendable {
    /// Mean over tokens of |A ∩ B| / |A ∪ B| of the two sets of experts.
    public var overlap: Double
    /// Share of tokens whose set of experts is another one.
    public var changed: Double
    /// Mean over tokens of ½ Σ_e |w_original − w_candidate| over the experts' weights, from 0 to 1.
    public var routingWeightShift: Double
    public var choices: ExpertChoices
  }

  public struct Text: Hashable, Sendable {
    public var name: String
    public var tokens: Int
    public var perplexity: Perplexities
    public var divergence: Estimate
    public var uncertainty: Double
    public var sameTop: Double
  }
}

extension VerificationReport {
  public var json: JSON { json(text: nil) }

  /// The report as `verify --json` prints it. A standard error that cannot be told is null.
  ///
  /// - Parameter text: spells tokens, for the worst predictions; nil leaves their numbers only.
  public func json(text: (([Int]) -> String)?) -> JSON {
    var object: JSONObject = [
      "tokens": JSON(tokens),
      "contexts": JSON(contexts),
      "perplexity": perplexity.json,
      "klDivergence": [
        "mean": JSON(divergence.mean.value),
        "standardError": divergence.mean.errorJSON,
        "median": JSON(divergence.median),
        "p90": JSON(divergence.p90),
        "p95": JSON(divergence.p95),
        "p99": JSON(divergence.p99),
        "p999": JSON(divergence.p999),
        "maximum": JSON(divergence.maximum),
        "histogram": divergence.histogram.json,
        "contexts": .array(divergence.contextMeans.map { JSON($0) }),
      ],
      "uncertainty": JSON(uncertainty),
      "deltaP": ["mean": JSON(deltaP.mean), "rms": JSON(deltaP.rms)],
      "sameTop": JSON(sameTop),
      "layers": .array(layers.map(\.json)),
      "texts": .array(texts.map(\.json)),
      "spans": .array(spans.map(\.json)),
      "toolCalls": toolCalls?.json ?? .null,
      "worst": .array(worst.map { $0.json(text) }),
      "seconds": JSON(seconds),
    ]
    object["droppedExperts"] = dropped?.json
    return .object(object)
  }
}

extension VerificationReport.Perplexities {
  /// `standardError` is the ratio's; `standardErrors` has those of all three.
  var json: JSON {
    [
      "original": JSON(original.value),
      "candidate": JSON(candidate.value),
      "ratio": JSON(ratio.value),
      "standardError": ratio.errorJSON,
      "standardErrors": [
        "original": original.errorJSON, "candidate": candidate.errorJSON, "ratio": ratio.errorJSON,
      ],
    ]
  }
}

extension VerificationReport.Layer {
  var json: JSON {
    [
      "layer": JSON(layer),
      "hiddenError": JSON(hiddenStateError),
      "router": router.map {
        [
          "overlap": JSON($0.overlap), "changed": JSON($0.changed),
          "gateMassMoved": JSON($0.routingWeightShift),
          "experts": $0.choices.json,
        ]
      } ?? .null,
      "expertErrors": .array(expertErrors.map { $0.map { JSON($0) } ?? .null }),
    ]
  }
}

extension ExpertChoices {
  var json: JSON {
    func list(_ counts: [Int]) -> JSON { .array(counts.map { JSON($0) }) }
    return [
      "original": list(original), "candidate": list(candidate), "both": list(both),
      // Of the original's tokens, the share that goes elsewhere; null when there are none.
      "moved": .array(
        zip(original, both).map { $0 > 0 ? JSON(1 - Double($1) / Double($0)) : .null }),
    ]
  }
}

extension VerificationReport.Text {
  var json: JSON {
    [
      "text": .string(name),
      "tokens": JSON(tokens),
      "perplexity": perplexity.json,
      "klDivergence": ["mean": JSON(divergence.value), "standardError": divergence.errorJSON],
      "uncertainty": JSON(uncertainty),
      "sameTop": JSON(sameTop),
    ]
  }
}

extension Estimate {
  var errorJSON: JSON { standardError.map { JSON($0) } ?? .null }
}
