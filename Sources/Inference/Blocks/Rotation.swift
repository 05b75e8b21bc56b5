#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Rotary position embedding (Su et al. 2021, arXiv:2104.09864) of the first `dims` dimensions of each head, in
/// half-split pairs (i, i + dims/2).
///
/// The angle of pair i at position p is p · θ^(−2i/dims), computed in F64; its cosine and sine are rounded to F32.
package struct Rotation: Sendable {
  package let dims: Int
  /// (positions, dims / 2)
  private let cosines: [Float]
  /// (positions, dims / 2)
  private let sines: [Float]

  package init(dims: Int, theta: Double, positions: Int) {
    precondition(dims % 2 == 0, "dimensions are rotated in pairs")
    self.dims = dims
    let frequencies = (0..<dims / 2).map { pow(theta, -2 * Double($0) / Double(dims)) }
    var cosines: [Float] = []
    var sines: [Float] = []
    cosines.reserveCapacity(positions * dims / 2)
    sines.reserveCapacity(positions * dims / 2)
    for position in 0..<positions {
      for frequency in frequencies {
        let angle = Double(position) * frequency
        cosines.append(Float(cos(angle)))
        sines.append(Float(sin(angle)))
      }
    }
    self.cosines = cosines
    self.sines = sines
  }

  /// Rotates every head of x, which begins with (tokens, heads · headDim), in place; token t stands at position t.
  package func apply(to x: inout [Float], tokens: Int, heads: Int, headDim: Int) {
    precondition(x.count >= tokens * heads * headDim && dims <= headDim, "x is (tokens, heads · headDim)")
    precondition(tokens * (dims / 2) <= cosines.count, "positions beyond the table")
    let half = dims / 2
    var x = x.mutableSpan
    for token in 0..<tokens {
      for head in 0..<heads {
        let first = (token * heads + head) * headDim
        for pair in 0..<half {
          let (cosine, sine) = (cosines[token * half + pair], sines[token * half + pair])
          let (low, high) = (x[first + pair], x[first + half + pair])
          x[first + pair] = low * cosine - high * sine
          x[first + half + pair] = high * cosine + low * sine
        }
      }
    }
  }
}
