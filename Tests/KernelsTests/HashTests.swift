import IngotKernels
import Testing

/// Byte i is bits 24…31 of i * 2654435761.
let hashInput: [UInt8] = (0..<300_000).map { UInt8(truncatingIfNeeded: (UInt32($0) &* 2_654_435_761) >> 24) }

@Suite struct HashTests {
  @Test(arguments: InstructionSet.supported)
  func xxh3MatchesTheReferenceLibrary(isa: InstructionSet) {
    for (count, wanted) in xxh3Vectors {
      let hash = XXH3.hash(hashInput.span.raw.extracting(first: count), using: isa)
      #expect(hash == wanted, "\(isa) count \(count)")
    }
    var digests: [UInt8] = []
    for count in 0...4096 {
      let hash = XXH3.hash(hashInput.span.raw.extracting(first: count), using: isa)
      digests += (0..<8).map { UInt8(truncatingIfNeeded: hash >> (8 * UInt64($0))) }
    }
    var sha = SHA256()
    sha.update(digests.span.raw)
    #expect(sha.hexDigest() == everyLengthDigest, "\(isa): some length of 0...4096")
  }

  @Test(arguments: InstructionSet.supported)
  func xxh3DoesNotDependOnHowTheInputIsCut(isa: InstructionSet) {
    for seed in 0..<40 {
      var random = SeededGenerator(seed)
      let total = Int.random(in: 0...20_000, using: &random)
      let most = [1, 7, 64, 65, 1000, 1024, 1025, 5000][seed % 8]
      var state = XXH3(using: isa)
      var place = 0
      while place < total {
        let count = min(Int.random(in: 0...most, using: &random), total - place)
        state.update(hashInput.span.raw.extracting(place..<place + count))
        place += count
        if random.next() % 8 == 0 {
          let whole = XXH3.hash(hashInput.span.raw.extracting(first: place), using: .scalar)
          #expect(state.digest() == whole, "\(isa) seed \(seed) after \(place)")
        }
      }
      let whole = XXH3.hash(hashInput.span.raw.extracting(first: total), using: .scalar)
      #expect(state.digest() == whole, "\(isa) seed \(seed) total \(total)")
    }
  }

  @Test(arguments: InstructionSet.supported)
  func sha256MatchesTheReferenceLibrary(isa: InstructionSet) {
    for (count, wanted) in sha256Vectors {
      var whole = SHA256(using: isa)
      whole.update(hashInput.span.raw.extracting(first: count))
      #expect(whole.hexDigest() == wanted, "\(isa) count \(count)")
      var random = SeededGenerator(count)
      var state = SHA256(using: isa)
      var place = 0
      while place < count {
        let part = min(Int.random(in: 0...300, using: &random), count - place)
        state.update(hashInput.span.raw.extracting(place..<place + part))
        place += part
      }
      #expect(state.hexDigest() == wanted, "\(isa) count \(count) in parts, seed \(count)")
    }
  }

  /// The example of FIPS 180-4.
  @Test func sha256OfABC() {
    let digest = SHA256.hash(Array("abc".utf8).span.raw)
    #expect(digest.prefix(4) == [0xBA, 0x78, 0x16, 0xBF] && digest.suffix(2) == [0x15, 0xAD])
  }
}
