import IngotKernels
import Testing

@Suite struct TransposeTests {
  @Test(
    arguments: [1, 2, 4, 8], [(0, 0), (0, 5), (5, 0), (1, 1), (1, 77), (77, 1), (31, 33), (32, 32), (65, 70)])
  func everyElementStandsAtItsPlace(width: Int, shape: (Int, Int)) {
    let (rows, columns) = shape
    var random = SeededGenerator(rows * 100 + columns)
    let source = random.bytes(rows * columns * width)
    var buffer = [UInt8](repeating: 0xA5, count: source.count + 16)
    var span = buffer.mutableSpan
    var raw = span.mutableRaw
    // An odd place: elements need no alignment.
    var part = raw._mutatingExtracting(7..<7 + source.count)
    transpose(width: width, source.span.raw, rows: rows, columns: columns, into: &part)
    #expect(buffer[..<7].allSatisfy { $0 == 0xA5 } && buffer[(7 + source.count)...].allSatisfy { $0 == 0xA5 })
    for row in 0..<rows {
      for column in 0..<columns {
        for byte in 0..<width {
          let found = buffer[7 + (column * rows + row) * width + byte]
          #expect(
            found == source[(row * columns + column) * width + byte], "[\(row), \(column)] byte \(byte)")
        }
      }
    }
  }
}
