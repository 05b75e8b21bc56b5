import IngotFormats
import IngotKernels
import IngotSystem
import IngotTensors
import Testing

/// Hashes of files out of pieces that come in any order, come twice, or never come.
@Suite struct SourceHashesTests {
  @Test func anyOrderOfPiecesGivesTheFilesHash() async throws {
    let scratch = try Scratch()
    let content = (0..<2_000_000).map { UInt8(truncatingIfNeeded: $0 &* 2_654_435_761 >> 11) }
    try scratch.write("a.bin", content)
    try scratch.write("b.bin", Array(content[..<1000]))
    try scratch.write("empty.bin", [])
    let paths = ["a.bin", "b.bin", "empty.bin"].map { scratch($0) }
    let whole = Bytes(content)
    let wanted = [whole, whole[0..<1000], whole[0..<0]].map { bytes in
      var hash = SHA256(using: .scalar)
      hash.update(bytes.span)
      return hash.hexDigest()
    }
    // Gaps at the beginning, between and at the end; many pieces, so that early ones are dropped.
    let pieces = (0..<30).map { 100 + $0 * 60_000..<100 + $0 * 60_000 + ($0 % 3 == 0 ? 60_000 : 59_999) }
    var random = SystemRandomNumberGenerator()
    let orders: [[Int]] = [
      Array(0..<30), (0..<30).reversed(), Array(1..<30), [], [0, 0, 2, 1, 1, 29, 3],
      (0..<30).shuffled(using: &random),
    ]
    for order in orders {
      let hashes = try SourceHashes(
        paths, fetched: pieces.reversed().map { (paths[0], $0) } + [(paths[0], 150..<200)])
      for index in order { try await hashes.absorb([((paths[0], pieces[index]), whole[pieces[index]])]) }
      try await hashes.absorb([((scratch("other.bin"), 0..<5), whole[0..<5])])
      #expect(try await hashes.digests() == wanted, "\(order)")
    }
  }
}
