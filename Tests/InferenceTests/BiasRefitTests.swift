import IngotInference
import IngotModels
import Testing

/// SplitMix64, and sums of its numbers that are about normal.
private struct Random {
  var state: UInt64

  mutating func normal() -> Float {
    var sum: Float = -6
    for _ in 0..<12 {
      state &+= 0x9E37_79B9_7F4A_7C15
      var z = state
      z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
      z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
      sum += Float((z ^ (z >> 31)) >> 40) * 0x1p-24
    }
    return sum
  }

  mutating func normals(_ count: Int) -> [Float] { (0..<count).map { _ in normal() } }
}

@Suite struct BiasRefitTests {
  static let (experts, active, tokens) = (16, 4, 96)

  /// Gates of contexts in (0, 1), and a bias; `drift` gives what is added to a gate in the quantized model.
  private static func refit(
    contexts: Int, _ random: inout Random, drift: (_ expert: Int, inout Random) -> Float
  ) -> (BiasRefit, bias: [Float]) {
    let bias = (0..<experts).map { 1 + 0.02 * Float($0 % 5) }
    var routed: [(own: Routing, original: Routing)] = []
    for _ in 0..<contexts {
      let gates = random.normals(tokens * experts).map { min(max(0.5 + 0.15 * $0, 0.01), 0.99) }
      var own = gates
      for index in own.indices { own[index] += drift(index % experts, &random) }
      routed.append(
        (
          Routing(gates: own, experts: experts, active: active, bias: bias, keepsGates: true),
          Routing(gates: gates, experts: experts, active: active, bias: bias)
        ))
    }
    return (BiasRefit(layer: 3, routed, bias: bias, rounded: { $0 }), bias)
  }

  @Test func aDriftOfAllTokensIsMended() {
    var random = Random(state: 1)
    let shifts = random.normals(Self.experts).map { 0.05 * $0 }
    let (refit, bias) = Self.refit(contexts: 16, &random) { expert, _ in shifts[expert] }
    #expect(refit.tokens == 4 * Self.tokens)
    #expect(refit.wins && refit.changedBefore > refit.tokens / 4, "\(refit.changedBefore)")
    #expect(Double(refit.changedAfter) < 0.2 * Double(refit.changedBefore), "\(refit.changedAfter)")
    #expect(refit.changedBefore - refit.changedAfter == refit.mended - refit.broken)
    // What was shifted up comes down, but for what all have in common.
    let found = zip(refit.bias, bias).map { $0 - $1 }
    let mean = zip(found, shifts).map { $0 + $1 }.reduce(0, +) / Float(Self.experts)
    for (change, shift) in zip(found, shifts) { #expect(abs(change + shift - mean) < 0.02) }
  }

  @Test func whatIsRightOrRandomStays() {
    var random = Random(state: 2)
    let (none, bias) = Self.refit(contexts: 16, &random) { _, _ in 0 }
    #expect(!none.wins && none.changedBefore == 0 && none.bias == bias)
    let (noise, _) = Self.refit(contexts: 16, &random) { _, random in 0.02 * random.normal() }
    #expect(noise.changedBefore > 0 && !noise.wins, "\(noise.mended) mended, \(noise.broken) broken")
  }

  @Test func nothingIsFittedWithoutContextsToHoldBack() {
    var random = Random(state: 3)
    let (refit, bias) = Self.refit(contexts: 3, &random) { expert, _ in 0.1 * Float(expert % 3) }
    #expect(!refit.wins && refit.tokens == 0 && refit.bias == bias)
  }
}
