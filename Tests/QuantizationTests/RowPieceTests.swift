import IngotKernels
import IngotQuantization
import IngotSystem
import IngotTensors
import Testing

@Suite struct RowPieceTests {
  @Test(arguments: [0, 1, 127, 128, 129, 1000, 5000], [1, 64, 3072, 1 << 22])
  func piecesCoverAllRowsInOrder(_ rows: Int, _ columns: Int) {
    for isWhole in [false, true] {
      let pieces = RowPieces(rows: rows, columns: columns, isWhole: isWhole)
      #expect(pieces.ranges.first?.lowerBound == 0 && pieces.ranges.last?.upperBound == rows)
      for (one, next) in zip(pieces.ranges, pieces.ranges.dropFirst()) {
        #expect(one.upperBound == next.lowerBound && next.lowerBound % 128 == 0)
      }
      #expect(!isWhole || pieces.ranges.count == 1)
      // Twice the least piece at most.
      #expect(
        isWhole || pieces.ranges.allSatisfy { $0.count <= 256 || $0.count * columns <= 2 * RowPieces.values })
    }
  }

  /// Rows know nothing of each other, so that pieces of a matrix are what the whole has.
  @Test(arguments: [
    "int4 g64 zero f16", "int3 g32 sym bf16", "int2 g32 bias f16", "mxfp4", "q4_k", "q6_k", "iq2_xxs",
  ])
  func planesOfPiecesAreThoseOfTheWhole(_ name: String) throws {
    let encoding = try #require(Encoding(name: name))
    let (rows, columns) = (300, 256)
    var random = SystemRandomNumberGenerator()
    let weights = (0..<rows * columns).map { _ in Float.random(in: -1...1, using: &random) }
    let inputs = (0..<2 * columns * columns).map { _ in Float.random(in: -1...1, using: &random) }
    var matrix = [Float](repeating: 0, count: columns * columns)
    var span = matrix.mutableSpan
    addOuterProducts(inputs.span, tokens: 2 * columns, columns: columns, to: &span)
    mirrorLowerTriangle(&span, n: columns)
    let together = name.hasPrefix("iq") ? 8 : 1
    let hessian = GPTQHessian(matrix, columns: columns, together: together)
    let (whole, result) = Quantizer.calibrated(
      weights, rows: rows, columns: columns, hessian: hessian, encoding: encoding, GPTQOptions())
    let pieces = RowPieces(rows: rows, columns: columns, values: 128 * columns)
    #expect(pieces.ranges.count == 3)
    let layout = try #require(encoding.planes([rows, columns]))
    let pieced = PiecedPlanes(layout, pieces)
    for (index, range) in pieces.ranges.enumerated().reversed() {
      let values = Array(weights[range.lowerBound * columns..<range.upperBound * columns])
      let (planes, result) = Quantizer.calibrated(
        values, rows: range.count, columns: columns, hessian: hessian, encoding: encoding, GPTQOptions())
      pieced.put(index, planes, result, values: values)
    }
    let made = pieced.take(hessian)
    #expect(made.planes.map(\.array) == whole.map(\.array))
    #expect(abs(made.error / result.error - 1) < 1e-9)
    #expect(abs(made.power / outputPower(weights.span, hessian, rows: rows) - 1) < 1e-9)
  }
}
