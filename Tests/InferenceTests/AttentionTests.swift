import Foundation
import IngotInference
import IngotModels
import Testing

@Suite struct AttentionTests {
  /// Values in −1 … 1.
  static func values(_ count: Int, seed: UInt64) -> [Float] {
    var generator = SplitMix64(state: seed)
    return (0..<count).map { _ in Float(generator.next(below: 2_000_001) - 1_000_000) / 1_000_000 }
  }

  static func numbers(heads: Int, keyValueHeads: Int, headDim: Int, slidingWindow: Int? = nil)
    throws -> GroupedQueryAttention
  {
    GroupedQueryAttention(
      hiddenSize: 8, heads: heads, keyValueHeads: keyValueHeads, headDim: headDim, rotary: nil,
      norm: Norm(epsilon: 1e-6), window: slidingWindow)
  }

  @Test(
    arguments: [(1, 1, 1), (2, 2, 1), (6, 3, 5), (4, 2, 257), (2, 1, 600)] as [(Int, Int, Int)],
    [nil, 1, 7, 300])
  func attentionIsThatOfThreeLoops(_ sizes: (Int, Int, Int), _ window: Int?) throws {
    let (heads, shared, tokens) = sizes
    let dim = 6
    let attention = try Self.numbers(heads: heads, keyValueHeads: shared, headDim: dim, slidingWindow: window)
    let queries = Self.values(tokens * heads * dim, seed: 1)
    let keys = Self.values(tokens * shared * dim, seed: 2)
    let values = Self.values(tokens * shared * dim, seed: 3)
    var out: [Float] = []
    // What a former user left must not matter.
    var scores = [Float](repeating: .nan, count: 7)
    attend(
      queries: queries, keys: keys, values: values, tokens: tokens, AttentionShape(attention),
      scores: &scores, into: &out)
    var worst = 0.0
    for token in 0..<tokens {
      let first = max(0, token + 1 - (window ?? tokens))
      for head in 0..<heads {
        let q = (token * heads + head) * dim
        let place = { (key: Int) in (key * shared + head * shared / heads) * dim }
        let weights = (first...token).map { key in
          exp(
            (0..<dim).reduce(0.0) { $0 + Double(queries[q + $1]) * Double(keys[place(key) + $1]) }
              / Double(dim).squareRoot())
        }
        let sum = weights.reduce(0, +)
        for column in 0..<dim {
          let exact =
            zip(first...token, weights).reduce(0.0) { $0 + $1.1 * Double(values[place($1.0) + column]) } / sum
          worst = max(worst, abs(exact - Double(out[q + column])))
        }
      }
    }
    #expect(worst < 1e-6)
  }

  /// Each pair as a complex number, turned by e^(i p θ^(−2k/dims)).
  @Test(arguments: [(8, 8), (4, 8), (64, 128), (0, 4)] as [(Int, Int)])
  func rotationTurnsComplexNumbers(_ dims: Int, _ headDim: Int) {
    let (tokens, heads, theta) = (300, 3, 5_000_000.0)
    let rotation = Rotation(RotaryEmbedding(dims: dims, theta: theta), positions: tokens + 1)
    let before = Self.values(tokens * heads * headDim, seed: 4)
    var after = before
    rotation.apply(to: &after, tokens: tokens, heads: heads, headDim: headDim)
    for token in 0..<tokens {
      for head in 0..<heads {
        let first = (token * heads + head) * headDim
        for pair in 0..<dims / 2 {
          let (x, y) = (Double(before[first + pair]), Double(before[first + dims / 2 + pair]))
          let radius = (x * x + y * y).squareRoot()
          let angle = atan2(y, x) + Double(token) / pow(theta, Double(2 * pair) / Double(dims))
          #expect(abs(Double(after[first + pair]) - radius * cos(angle)) < 3e-7)
          #expect(abs(Double(after[first + dims / 2 + pair]) - radius * sin(angle)) < 3e-7)
        }
        for column in dims..<headDim { #expect(after[first + column] == before[first + column]) }
      }
    }
  }
}
