import IngotInference
import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors
import Testing

/// Which contexts were used before, and which are chosen then.
@Suite struct ContextSplitTests {
  /// Texts of so many contexts of 8 tokens, all different.
  private static func texts(_ counts: [Int]) -> [[Context]] {
    counts.enumerated().map { text, count in
      (0..<count).map { place in
        Context((0..<8).map { 1000 * text + 8 * place + $0 }, text: "text\(text)")
      }
    }
  }

  private static func statistics(_ contexts: some Sequence<Context>, length: Int = 8)
    -> ContextSplit.Statistics
  {
    var seen = SeenContexts(Array(contexts))
    seen.length = length
    return .init(texts: seen.texts.map(\.name), contexts: seen)
  }

  @Test func hashesAreThoseOfTheTokensBytes() {
    let tokens = [0, 1, 255, 256, 65_535, 65_536, 200_063]
    var bytes: [UInt8] = []
    for token in tokens { for place in 0..<4 { bytes.append(UInt8(token / (1 << (8 * place)) % 256)) } }
    #expect(SeenContexts.hash(tokens) == XXH3.hash(Bytes(bytes).span))
    #expect(SeenContexts.hash(tokens) != SeenContexts.hash(tokens.reversed()))
    #expect(SeenContexts.hash([]) == XXH3.hash(Bytes([]).span))
  }

  @Test func recordsReadBack() throws {
    let seen = SeenContexts(Self.texts([3, 1, 5]).flatMap { $0 })
    #expect(seen.count == 9 && seen.length == 8 && seen.texts.map(\.name) == ["text0", "text1", "text2"])
    #expect(SeenContexts(seen.json) == seen)
    func record(_ length: JSON, _ digits: String) -> SeenContexts? {
      SeenContexts(["length": length, "texts": [["name": "a", "contexts": .string(digits)]]])
    }
    #expect(record(8, "00000000000000ff")?.hashes == [255])
    #expect(record(0, "00000000000000ff") == nil && record("8", "00000000000000ff") == nil)
    #expect(record(8, "0ff") == nil && record(8, "zzzzzzzzzzzzzzzz") == nil)
    #expect(SeenContexts(["length": 8]) == nil && SeenContexts(nil) == nil)
  }

  /// What is chosen and judged by is of the texts, in order, and apart; nothing of it was seen.
  @Test(arguments: [nil, 1, 2, 8, 50], [[40], [9, 30, 4], [2, 1], [16, 16]])
  func choosingJudgingAndSeenAreApart(_ chunks: Int?, _ counts: [Int]) {
    let texts = Self.texts(counts)
    for leave in [1, 2, 3, 5, 12] {
      let used = texts.flatMap { $0.dropLast(leave) }
      if used.isEmpty { continue }
      let rest = texts.joined().count - used.count
      let split = ContextSplit(texts, chunks: chunks, seen: Self.statistics(used))
      let hashes = Set(used.map { SeenContexts.hash($0.tokens) })
      func isSeen(_ context: Context) -> Bool { hashes.contains(SeenContexts.hash(context.tokens)) }
      #expect(!split.judging.isEmpty && !split.choosing.isEmpty)
      #expect(split.novelty == .unseen && !split.judging.contains(where: isSeen))
      #expect(split.isChosenBySeen || !split.choosing.contains(where: isSeen))
      #expect(
        Set(split.judging).isDisjoint(with: split.choosing) && Set(split.judging).isSubset(of: texts.joined())
      )
      #expect(split.seenCount == used.count)
      if !split.isChosenBySeen { #expect(split.judging.count + split.choosing.count <= rest) }
      if let chunks {
        #expect(split.choosing.count <= counts.count * max(chunks, 1))
        #expect(split.judging.count <= counts.count * 2 * chunks)
      } else if !split.isChosenBySeen {
        #expect(split.judging.count + split.choosing.count == rest, "all are used")
      }
    }
  }

  @Test func withoutStatisticsNothingIsLeftOut() {
    let texts = Self.texts([20, 5])
    let split = ContextSplit(texts, chunks: 4, seen: nil)
    #expect(split.choosing == Array(texts[0].prefix(4)) + Array(texts[1].prefix(4)))
    #expect(split.judging == Array(texts[0].suffix(8)) + Array(texts[1].suffix(1)))
    #expect(split.novelty == .unseen && split.seenCount == 0)
    // Statistics of other text change nothing of that.
    let other = ContextSplit(texts, chunks: 4, seen: Self.statistics([Context([1, 2, 3], text: "other")]))
    #expect(other.choosing == split.choosing && other.judging == split.judging && other.novelty == .unseen)
  }

  @Test func whatCannotBeToldApartIsSaid() {
    let texts = Self.texts([12])
    let whole = ContextSplit(texts, chunks: 4, seen: Self.statistics(texts.joined()))
    #expect(whole.novelty == .seen && whole.choosing.count == 4 && whole.judging.count == 8)
    // Neither a file of an older version nor contexts of another length say what was seen.
    let old = ContextSplit(texts, chunks: 4, seen: .init(texts: ["text0"], contexts: nil))
    #expect(old.novelty == .unknown && old.judging.count == 8)
    #expect(ContextSplit(texts, chunks: 4, seen: .init(texts: ["b"], contexts: nil)).novelty == .unseen)
    let cut = SeenContexts(length: 4, texts: [.init(name: "text0", hashes: [1, 2])])
    #expect(ContextSplit(texts, chunks: 4, seen: .init(texts: ["text0"], contexts: cut)).novelty == .unknown)
  }

  /// A text of whatever length has room for the contexts that are wanted, beside those that are left.
  @Test func reservedContextsNeverCostTooMany() {
    for chunks in 1..<400 {
      let needed = ContextSplit.needed(for: chunks)
      for count in needed..<needed + 12 { #expect(count - ContextSplit.reserved(of: count) >= chunks) }
    }
    #expect(ContextSplit.needed(for: .max) == .max)
    #expect([1, 3, 4, 8, 16, 32, 64, 800].map(ContextSplit.reserved) == [0, 0, 1, 2, 4, 4, 8, 100])
  }
}
