import IngotFormats
import IngotInference
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors
import Synchronization
import Testing

@Suite struct VerifyTests {
  static func options(workers: Int) -> VerificationOptions {
    var options = VerificationOptions()
    options.workers = workers
    return options
  }

  /// 1.184185 is what transformers in F32 gives for the second halves of these contexts.
  @Test func perplexityOfHeldOutText() async throws {
    let contexts = try Nano.contexts(8, of: 512)
    let found = try await perplexity(of: Nano.model(), contexts, Self.options(workers: 2))
    #expect(abs(found.value - 1.184185) < 2e-6)
    #expect(try #require(found.standardError) > 0)
  }

  @Test func aModelAgainstItselfDoesNotDiffer() async throws {
    let model = try Nano.model()
    let report = try await verify(model, against: model, Nano.contexts(3, of: 128), Self.options(workers: 2))
    #expect(report.tokens == 3 * 63)
    #expect(report.divergence.mean == Estimate(value: 0, standardError: 0))
    #expect(report.divergence.maximum == 0 && report.divergence.median == 0)
    #expect(report.deltaP.mean == 0 && report.deltaP.rms == 0)
    #expect(report.sameTop == 1)
    #expect(report.perplexity.ratio == Estimate(value: 1, standardError: 0))
    #expect(report.perplexity.original == report.perplexity.candidate)
    #expect(report.layers.count == 4)
    for layer in report.layers {
      #expect(layer.hiddenStateError == 0)
      #expect(layer.router!.overlap == 1 && layer.router!.changed == 0)
      #expect(layer.router!.routingWeightShift == 0)
      #expect(layer.expertErrors.allSatisfy { $0 == nil || $0 == 0 })
    }
    let alone = try await perplexity(of: model, Nano.contexts(3, of: 128))
    #expect(alone == report.perplexity.original)
  }

  @Test func quantizingCostsLittleAndEightBitsLess() async throws {
    let model = try Nano.model()
    let contexts = try Nano.contexts(4, of: 128)
    var reports: [VerificationReport] = []
    for name in ["int8", "int4"] {
      let candidate = try model.quantized(by: Recipe.named(name).plan(for: model))
      reports.append(try await verify(candidate, against: model, contexts, Self.options(workers: 2)))
    }
    let (eight, four) = (reports[0], reports[1])
    #expect(eight.divergence.mean.value > 0 && eight.divergence.mean.value < four.divergence.mean.value)
    #expect(four.divergence.mean.value < 0.1)
    #expect(four.divergence.median <= four.divergence.p90 && four.divergence.p90 <= four.divergence.p95)
    #expect(four.divergence.p99 <= four.divergence.p999 && four.divergence.p999 <= four.divergence.maximum)
    #expect(four.deltaP.rms > eight.deltaP.rms && eight.deltaP.rms > 0)
    #expect(abs(four.deltaP.mean) <= four.deltaP.rms)
    #expect(four.sameTop > 0.9 && four.sameTop <= eight.sameTop)
    for (a, b) in zip(eight.layers, four.layers) {
      #expect(a.hiddenStateError > 0 && a.hiddenStateError < b.hiddenStateError && b.hiddenStateError < 0.5)
      #expect(b.router!.overlap <= 1 && b.router!.overlap > 0.5)
      #expect(b.router!.routingWeightShift > 0 && b.router!.routingWeightShift < 0.5)
      #expect(a.router!.routingWeightShift < b.router!.routingWeightShift)
    }
    let ratio = four.perplexity.candidate.value / four.perplexity.original.value
    #expect(abs(four.perplexity.ratio.value / ratio - 1) < 1e-12)
  }

  @Test func nothingDependsOnTheNumberOfWorkers() async throws {
    let model = try Nano.model()
    let candidate = try model.quantized(by: Recipe.named("int4").plan(for: model))
    let tokens = try Nano.heldOut()
    // Contexts of odd and different sizes, one without a scored position, in two texts.
    var rest = tokens[...]
    let contexts = [(65, "a"), (3, "b"), (2, "b"), (17, "a"), (1, "b"), (100, "b")].map { count, text in
      let context = Context(Array(rest.prefix(count)), text: text)
      rest = rest.dropFirst(count)
      return context
    }
    var reports: [VerificationReport] = []
    var all: [[[Float]]] = []
    for workers in [1, 2, 3] {
      var report = try await verify(candidate, against: model, contexts, Self.options(workers: workers))
      report.seconds = 0
      reports.append(report)
      all.append(try await logits(of: candidate, contexts, workers: workers))
    }
    #expect(reports[0] == reports[1] && reports[0] == reports[2])
    #expect(all[0] == all[1] && all[0] == all[2])
    #expect(reports[0].tokens == 32 + 1 + 0 + 8 + 0 + 49)
    #expect(reports[0].texts.map(\.name) == ["a", "b"])
    #expect(reports[0].texts.map(\.tokens) == [40, 50])
    #expect(all[0].map(\.count) == contexts.map { $0.tokens.count * 2048 })
  }

  /// What comes after a token changes nothing before it, and neither do other contexts.
  @Test func contextsAreCausalAndApart() async throws {
    let model = try Nano.model()
    let tokens = try Nano.heldOut()
    let long = try await logits(of: model, [Context(Array(tokens[..<40])), Context(Array(tokens[40..<90]))])
    let short = try await logits(of: model, [Context(Array(tokens[..<33]))])
    #expect(short[0] == Array(long[0].prefix(short[0].count)))
  }

  @Test func reportAsJSON() async throws {
    let model = try Nano.model()
    let report = try await verify(model, against: model, Nano.contexts(1, of: 9))
    let json = try JSON.parse(Array(report.json.text().utf8), path: "report")
    #expect(
      json.object!.keys == [
        "tokens", "contexts", "perplexity", "klDivergence", "uncertainty", "deltaP", "sameTop", "layers",
        "texts", "spans", "toolCalls", "worst", "seconds",
      ])
    #expect(
      json["perplexity"]!.object!.keys == [
        "original", "candidate", "ratio", "standardError", "standardErrors",
      ])
    #expect(
      json["klDivergence"]!.object!.keys == [
        "mean", "standardError", "median", "p90", "p95", "p99", "p999", "maximum", "histogram", "contexts",
      ])
    #expect(json["deltaP"]!.object!.keys == ["mean", "rms"])
    #expect(json["layers"]!.array![3].object!.keys == ["layer", "hiddenError", "router", "expertErrors"])
    #expect(
      json["layers"]!.array![3]["router"]!.object!.keys == ["overlap", "changed", "gateMassMoved", "experts"])
    // One context tells no standard error.
    #expect(json["klDivergence"]!["standardError"] == .null)
    #expect(json["tokens"] == 4)
  }

  @Test func progressEndsWithEverything() async throws {
    let model = try Nano.model()
    let seen = Mutex<[VerificationProgress]>([])
    var options = Self.options(workers: 2)
    options.progress = { step in seen.withLock { $0.append(step) } }
    _ = try await verify(model, against: model, Nano.contexts(2, of: 16), options)
    let steps = seen.withLock { $0 }
    #expect(steps.first?.bytes == 0)
    #expect(steps.last?.bytes == steps.last?.totalBytes)
    #expect(steps.last?.layers == 4 && steps.last?.totalLayers == 4)
    #expect(zip(steps, steps.dropFirst()).allSatisfy { $0.bytes <= $1.bytes && $0.layers <= $1.layers })
  }
}
