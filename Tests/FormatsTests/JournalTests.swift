import Foundation
import IngotKernels
import IngotSystem
import Testing

/// Journals against a model of what they promise: what was recorded before a cut is known, in order, and nothing else.
@Suite struct JournalTests {
  /// SplitMix64: the same sequence everywhere for a seed.
  private struct SplitMix64: RandomNumberGenerator {
    var seed: UInt64

    mutating func next() -> UInt64 {
      seed &+= 0x9E37_79B9_7F4A_7C15
      var z = seed
      z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
      z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
      return z ^ z >> 31
    }
  }

  /// What a run did, and how long the journal was then.
  private struct History {
    var bytes: [UInt8] = []
    /// Ends of the records' lines.
    var records: [Int] = []
    /// Of marks: the end of the line, and of the last record that is durable by it.
    var marks: [(end: Int, durable: Int)] = []
  }

  private static let identity: JSONObject = ["recipe": "int4"]

  /// Records and marks at random. Each record says its number.
  private func history(_ path: String, _ random: inout SplitMix64) throws -> History {
    let journal = try Journal(beside: path, identity: Self.identity)
    var history = History()
    let length = { try content(journal.path).count }
    history.marks.append((try length(), 0))
    for _ in 0..<Int.random(in: 0...12, using: &random) {
      if Int.random(in: 0..<4, using: &random) == 0 {
        let durable = try length()
        try journal.synchronize([])
        history.marks.append((try length(), durable))
      } else {
        let filling = String(repeating: "x", count: Int.random(in: 0...40, using: &random))
        try journal.add(["n": JSON(history.records.count), "filling": .string(filling)])
        history.records.append(try length())
      }
    }
    journal.leave()
    history.bytes = try content(journal.path)
    return history
  }

  /// What the next run finds.
  private func found(_ path: String, _ bytes: [UInt8]) throws -> [Int] {
    try Data(bytes).write(to: URL(fileURLWithPath: path + Journal.suffix))
    let journal = try Journal(beside: path, identity: Self.identity)
    journal.leave()
    return journal.records.map { $0["n"]?.int ?? -1 }
  }

  /// The same lines as another start of the system wrote them.
  private func fromAnotherBoot(_ bytes: [UInt8]) throws -> [UInt8] {
    var out: [UInt8] = []
    for line in bytes.split(separator: 0x0A, omittingEmptySubsequences: false).dropLast() {
      let text = try JSON.parse(Array(line.dropFirst(17)), path: "journal")
      guard text["marked"] != nil, var object = text.object else {
        out += line + [0x0A]
        continue
      }
      // As long as the true one, so that places stay.
      object["marked"] = .string(String(repeating: "0", count: text["marked"]!.string!.count))
      let written = Array(JSON.object(object).text().utf8)
      out += Array((hexDigits(XXH3.hash(Bytes(written).span)) + " ").utf8) + written + [0x0A]
    }
    return out
  }

  @Test(arguments: 0..<40) func whatWasRecordedIsFound(_ seed: Int) throws {
    let scratch = try Scratch()
    var random = SplitMix64(seed: UInt64(seed) + 1)
    let path = scratch("out")
    let history = try history(path, &random)
    let first = history.marks[0].end
    for _ in 0..<8 {
      // Killed: the system has what was written, up to some byte.
      let cut = Int.random(in: first...history.bytes.count, using: &random)
      let known = history.records.filter { $0 <= cut }.count
      #expect(try found(path, Array(history.bytes[..<cut])) == Array(0..<known), "cut at \(cut)")
      // A loss of power: what stands before the last mark counts.
      let durable = history.marks.last { $0.end <= cut }!.durable
      let lasting = history.records.filter { $0 <= durable }.count
      let other = try fromAnotherBoot(history.bytes)
      #expect(other.count == history.bytes.count)
      #expect(try found(path, Array(other[..<cut])) == Array(0..<lasting), "power lost at \(cut)")
    }
  }

  @Test(arguments: 0..<40) func noBitThatFlipsMakesARecord(_ seed: Int) throws {
    let scratch = try Scratch()
    var random = SplitMix64(seed: UInt64(seed) + 1000)
    let path = scratch("out")
    let history = try history(path, &random)
    for _ in 0..<8 {
      var bytes = history.bytes
      let place = Int.random(in: bytes.indices, using: &random)
      bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
      do {
        let found = try found(path, bytes)
        // Those of lines before it are there; behind it may be a line feed that begins a line anew.
        let before = history.records.filter { $0 <= place }.count
        #expect(found == Array(0..<before), "bit flipped at \(place)")
      } catch let error as FormatError {
        #expect(place < history.marks[0].end && error.remedy == .discard, "\(error)")
      }
    }
  }
}
