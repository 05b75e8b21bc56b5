import IngotModels

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Cosines and sines of a rotation at the positions of a context.
///
/// The angle of pair i at position p is p times the pair's frequency, computed in F64; its cosine and sine are rounded to F32.
package struct Rotation: Sendable {
  package let embedding: RotaryEmbedding
  /// (positions, dims / 2)
  private let cosines: [Float]
  /// (positions, dims / 2)
  private let sines: [Float]

  package init(_ embedding: RotaryEmbedding, positions: Int) {
    let dims = embedding.dims
    precondition(dims % 2 == 0, "dimensions are rotated in pairs")
    self.embedding = embedding
    let (frequencies, magnitude) = (embedding.frequencies, embedding.magnitude)
    var cosines: [Float] = []
    var sines: [Float] = []
    cosines.reserveCapacity(positions * dims / 2)
    sines.reserveCapacity(positions * dims / 2)
    for position in 0..<positions {
      for frequency in frequencies {
        let angle = Double(position) * frequency
        cosines.append(Float(cos(angle) * magnitude))
        sines.append(Float(sin(angle) * magnitude))
      }
    }
    self.cosines = cosines
    self.sines = sines
  }

  /// Rotates every head of x, which begins with (tokens, heads · headDim), in place.
  ///
  /// - Parameters:
  ///   - offset: the first dimension of a head that is rotated.
  ///   - position: of the first token.
  package func apply(
    to x: inout [Float], tokens: Int, heads: Int, headDim: Int, from offset: Int = 0, at position: Int = 0
  ) {
    let half = embedding.dims / 2
    precondition(x.count >= tokens * heads * headDim, "x is (tokens, heads · headDim)")
    precondition(offset + 2 * half <= headDim, "a head has all rotated dimensions")
    precondition((position + tokens) * half <= cosines.count, "positions beyond the table")
    // Places of a pair's two dimensions: i and i + half, or 2i and 2i + 1.
    let (step, apart) = embedding.pairing == .half ? (1, half) : (2, 1)
    var x = x.mutableSpan
    for token in 0..<tokens {
      for head in 0..<heads {
        let first = (token * heads + head) * headDim + offset
        for pair in 0..<half {
          let entry = (position + token) * half + pair
          let (cosine, sine) = (cosines[entry], sines[entry])
          let place = first + pair * step
          let (low, high) = (x[place], x[place + apart])
          x[place] = low * cosine - high * sine
          x[place + apart] = high * cosine + low * sine
        }
      }
    }
  }
}
