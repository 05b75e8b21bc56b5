import IngotKernels
import IngotTensors

/// Seconds that choosing codes takes for a weight on one core of this machine, measured on a few weights: what estimates of runs
/// go by, beside the rate of matrix products.
package struct CodeRates {
  private var searched: [Encoding: Double] = [:]
  private var calibrated: [Encoding: Double] = [:]
  /// Of matrix products: floating-point operations a second.
  package let products: Double

  private static let columns = 512

  /// - Parameters:
  ///   - isCalibrated: whether GPTQ is to be measured.
  package init(_ encodings: [Encoding], isCalibrated: Bool) {
    products = CodeRates.measuredProducts()
    for encoding in encodings where encoding.pathOperations == nil {
      searched[encoding] = CodeRates.search(encoding)
      if isCalibrated { calibrated[encoding] = gptq(encoding) }
    }
  }

  /// Of the search for codes, and of decoding them again to F32. Trellis codes are counted by their paths elsewhere.
  package func search(_ encoding: Encoding) -> Double { searched[encoding] ?? 0 }

  /// Of GPTQ with its refits, beside the products that these consist of.
  package func gptq(beside encoding: Encoding) -> Double { calibrated[encoding] ?? 0 }

  private static func weights(_ count: Int) -> [Float] {
    var state: UInt64 = 1
    return (0..<count).map { _ in
      // A sum of four uniform values, about normal.
      (0..<4).reduce(Float(-2)) { sum, _ in
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return sum + Float(state >> 40) * 0x1p-24
      }
    }
  }

  /// The least of a few times, in seconds.
  private static func least(_ turns: Int, _ body: () -> Void) -> Double {
    let clock = ContinuousClock()
    return (0..<turns).map { _ in clock.measure(body) / .seconds(1) }.min()!
  }

  private static func search(_ encoding: Encoding) -> Double {
    let rows = 128
    let values = weights(rows * columns)
    let importance = [Float](repeating: 1, count: columns)
    var decoded = [Float](repeating: 0, count: values.count)
    return least(3) {
      let planes = Quantizer.search.planes(
        values, rows: rows, columns: columns, importance: importance, encoding: encoding)
      var span = decoded.mutableSpan
      encoding.decode(planes, rows: rows, columns: columns, into: &span)
    } / Double(values.count)
  }

  private func gptq(_ encoding: Encoding) -> Double {
    guard encoding.hasCodeGrid else { return search(encoding) }
    let (rows, columns, options) = (256, CodeRates.columns, GPTQOptions())
    let values = CodeRates.weights(rows * columns)
    // Inputs that know of each other a little.
    let x = CodeRates.weights(2 * columns * columns)
    var matrix = [Float](repeating: 0, count: columns * columns)
    var span = matrix.mutableSpan
    addOuterProducts(x.span, tokens: 2 * columns, columns: columns, to: &span)
    mirrorLowerTriangle(&span, n: columns)
    let hessian = GPTQHessian(matrix, columns: columns, together: encoding.columnsTogether, options)
    let seconds = CodeRates.least(2) {
      _ = Quantizer.calibrated(
        values, rows: rows, columns: columns, hessian: hessian, encoding: encoding, options)
    }
    return max(seconds / Double(values.count) - CodeRates.operations(columns: columns) / products, 0)
  }

  /// Floating-point operations of GPTQ and its refits for a weight of so many columns: a triangle of products, and whole ones.
  package static func operations(columns: Int) -> Double {
    Double(columns) * (1 + 2 * Double(GPTQOptions().sweeps))
  }

  /// Of products of (512, 1024) by (1024, 1024) on one core.
  private static func measuredProducts() -> Double {
    let (m, n) = (512, 1024)
    let a = [Float](repeating: 0.5, count: m * n)
    let b = [Float](repeating: 0.25, count: n * n)
    var c = [Float](repeating: 0, count: m * n)
    let seconds = least(20) {
      var span = c.mutableSpan
      matmul(a.span, b.span, tokens: m, inputs: n, outputs: n, into: &span)
    }
    return 2 * Double(m * n * n) / seconds
  }
}
