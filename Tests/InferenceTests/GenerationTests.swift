import IngotFormats
import IngotInference
import IngotModels
import IngotSystem
import IngotTensors
import Testing

/// Sequences that are continued: the logits of the whole, whatever is fed at once.
@Suite struct GenerationTests {
  /// Numbers of tokens that are fed one after the other.
  private static let parts = [5, 1, 1, 9, 2, 1, 17, 1, 1, 1, 3]

  /// ‖a − b‖ / ‖b‖ of the logits behind each part, and positions with another top token.
  private func difference(
    _ model: Model, _ contexts: [Context], _ golden: [Float], cache: CacheType = .f32, workers: Int = 2
  ) async throws -> (error: Double, otherTops: Int) {
    let vocabulary = model.blueprint.vocabulary
    var (difference, power, otherTops, first) = (0.0, 0.0, 0, 0)
    for context in contexts {
      var generator = try Generator(
        model, capacity: context.tokens.count, workers: workers, cache: cache)
      var (fed, part) = (0, 0)
      while fed < context.tokens.count {
        let count = min(Self.parts[part % Self.parts.count], context.tokens.count - fed)
        let logits = try await generator.feed(Array(context.tokens[fed..<fed + count]))
        (fed, part) = (fed + count, part + 1)
        let expected = Array(golden[(first + fed - 1) * vocabulary..<(first + fed) * vocabulary])
        for (a, b) in zip(logits, expected) {
          difference += Double(a - b) * Double(a - b)
          power += Double(b) * Double(b)
        }
        let top = logits.indices.max { logits[$0] < logits[$1] }!
        // Ties of the reference are no difference.
        if expected[top] < expected.max()! - 1e-4 { otherTops += 1 }
      }
      #expect(generator.tokens == context.tokens)
      first += context.tokens.count
    }
    return ((difference / power).squareRoot(), otherTops)
  }

  @Test(arguments: FamilyFixtures.cases) func continuedSequencesHaveTheLogitsOfTheWhole(_ name: String)
    async throws
  {
    let golden = try FamilyFixtures.golden(name)
    let model = try Model.read("\(FamilyFixtures.folder)/\(name)")
    let found = try await difference(model, golden.contexts, golden.logits)
    #expect(found.error <= 1e-5 && found.otherTops == 0, "\(name): \(found)")
  }

  /// Rounded keys and values change little, and change something.
  @Test(arguments: ["llama-plain", "deepseek_v3-plain", "gemma3-text"]) func smallerCaches(_ name: String)
    async throws
  {
    let golden = try FamilyFixtures.golden(name)
    let model = try Model.read("\(FamilyFixtures.folder)/\(name)")
    let half = try await difference(model, golden.contexts, golden.logits, cache: .f16)
    let eight = try await difference(model, golden.contexts, golden.logits, cache: .q8)
    #expect(half.error > 1e-6 && half.error < 2e-3, "\(half)")
    #expect(eight.error > half.error && eight.error < 5e-2, "\(eight)")
  }

  @Test func bitsDoNotDependOnThreads() async throws {
    let model = try Nano.model()
    let tokens = Array(try Nano.heldOut().prefix(24))
    var found: [[Float]] = []
    for workers in [1, 2, 5] {
      var generator = try Generator(model, capacity: 64, workers: workers)
      var logits: [Float] = []
      for token in tokens { logits = try await generator.feed([token]) }
      found.append(logits)
    }
    #expect(found[0] == found[1] && found[0] == found[2])
  }

  @Test func contextsOfItsOwn() async throws {
    let model = try Nano.model()
    let starts = (0..<5).map { Array(try! Nano.heldOut()[$0 * 7..<$0 * 7 + 4]) }
    func made(_ count: Int, _ change: (inout OwnContexts) -> Void) async throws -> [[Int]] {
      var making = OwnContexts(length: 24)
      // The model is sure of how these texts begin.
      making.temperature = 3
      change(&making)
      return try #require(await making.made(by: model, count: count, starts: starts, text: "x")).map(\.tokens)
    }
    let first = try await made(7) { $0.workers = 2 }
    #expect(first.count == 7 && first.allSatisfy { $0.count == 24 })
    for (index, tokens) in first.enumerated() { #expect(Array(tokens.prefix(4)) == starts[index % 5]) }
    // No token depends on what goes beside it, on threads, or on how many follow.
    #expect(try await made(7) { ($0.together, $0.workers) = (3, 1) } == first)
    #expect(try await made(7) { $0.seed = 1 } != first)
    // The same start goes on in another way.
    #expect(first[0] != first[5])
    // Behind an end comes the next start.
    let end = first[0][10]
    let ended = try await made(7) { $0.ends = [end] }
    let at = try #require(ended[0].dropFirst(4).firstIndex(of: end))
    #expect(Array(ended[0][(at + 1)...].prefix(4)) == Array(starts[7 % 5].prefix(23 - at)))
  }

  /// What is given up and read again has the same values.
  @Test func expertsInLittleMemory() async throws {
    let model = try Nano.model()
    let tokens = Array(try Nano.heldOut().prefix(40))
    var free = try Generator(model, capacity: 64, workers: 2)
    let wanted = try await free.feed(tokens)
    #expect(free.expertReads == nil)
    let experts = model.tensors.filter { $0.role.expert != nil }.reduce(0) { $0 + $1.bytes }
    let budget = model.bytes - experts / 2
    var bounded = try Generator(model, capacity: 64, workers: 2, memory: budget)
    for token in tokens.dropLast() { _ = try await bounded.feed([token]) }
    #expect(try await bounded.feed([tokens.last!]) == logitsOneByOne(model, tokens))
    let reads = try #require(bounded.expertReads)
    #expect(reads.used > reads.read && reads.read > experts / 2, "\(reads)")
    #expect(wanted.count == model.blueprint.vocabulary)
    #expect(throws: FormatError.self) { try Generator(model, capacity: 64, workers: 1, memory: 1000) }
  }

  private func logitsOneByOne(_ model: Model, _ tokens: [Int]) async throws -> [Float] {
    var generator = try Generator(model, capacity: 64, workers: 1)
    var logits: [Float] = []
    for token in tokens { logits = try await generator.feed([token]) }
    return logits
  }

  @Test func aSequenceBeginsAnew() async throws {
    let model = try Nano.model()
    let tokens = Array(try Nano.heldOut().prefix(20))
    var generator = try Generator(model, capacity: 20, workers: 2)
    let first = try await generator.feed(tokens)
    let bytes = generator.cacheBytes
    #expect(bytes > 0)
    generator.reset()
    #expect(generator.tokens.isEmpty && generator.cacheBytes == 0)
    #expect(try await generator.feed(tokens) == first && generator.cacheBytes == bytes)
    await #expect(throws: FormatError.self) { try await generator.feed([1]) }
  }

  @Test func wrongSequencesAreRefused() async throws {
    let model = try Nano.model()
    #expect(throws: FormatError.self) {
      try Generator(model, capacity: model.blueprint.contextLength + 1, workers: 1)
    }
    var generator = try Generator(model, capacity: 8, workers: 1)
    await #expect(throws: FormatError.self) { try await generator.feed([model.blueprint.vocabulary]) }
    await #expect(throws: FormatError.self) { try await generator.feed([-1]) }
  }
}

/// Choosing tokens.
@Suite struct SamplerTests {
  private func sampling(_ change: (inout Sampling) -> Void) -> Sampling {
    var sampling = Sampling()
    change(&sampling)
    return sampling
  }

  private func shares(_ sampling: Sampling, _ logits: [Float], count: Int = 20_000) -> [Double] {
    var sampler = Sampler(sampling)
    var counts = [Double](repeating: 0, count: logits.count)
    for _ in 0..<count { counts[sampler.choose(logits, seen: [])] += 1 }
    return counts.map { $0 / Double(count) }
  }

  @Test func withoutTemperatureTheFirstOfTheLargest() {
    var sampler = Sampler(Sampling())
    #expect(sampler.choose([0, 3, 1, 3], seen: []) == 1)
  }

  @Test func sharesAreProbabilities() {
    // e^1 : e^0 : e^-1 at temperature 1; at 0.5 their squares.
    for (temperature, ratio) in [(1.0, 2.718_28), (0.5, 7.389_06)] {
      let found = shares(sampling { $0.temperature = temperature }, [1, 0, -1])
      let total = ratio + 1 + 1 / ratio
      for (share, weight) in zip(found, [ratio, 1, 1 / ratio]) {
        #expect(abs(share - weight / total) < 0.012, "\(found)")
      }
    }
  }

  @Test func unlikelyTokensAreLeftOut() {
    let logits: [Float] = [2, 1, 0, -1]  // 0.644, 0.237, 0.087, 0.032
    func left(_ change: (inout Sampling) -> Void) -> [Int] {
      let found = shares(
        sampling {
          $0.temperature = 1
          change(&$0)
        }, logits, count: 4000)
      return found.indices.filter { found[$0] > 0 }
    }
    #expect(left { _ in } == [0, 1, 2, 3])
    #expect(left { $0.topK = 2 } == [0, 1])
    #expect(left { $0.topP = 0.6 } == [0])
    #expect(left { $0.topP = 0.7 } == [0, 1])
    #expect(left { $0.topP = 0.89 } == [0, 1, 2])
    #expect(left { $0.minP = 0.1 } == [0, 1, 2])
    #expect(left { $0.minP = 0.5 } == [0])
    #expect(left { ($0.topK, $0.minP) = (3, 0.2) } == [0, 1])
  }

  @Test func occurredTokensAreLessLikely() {
    var sampler = Sampler(sampling { $0.repetitionPenalty = 2 })
    #expect(sampler.choose([3, 2, -1], seen: [0]) == 1)
    // A negative logit is made smaller too.
    var other = Sampler(sampling { $0.repetitionPenalty = 3 })
    #expect(other.choose([-1, -2.5], seen: [0]) == 1)
  }

  @Test func aSeedGivesTheSameTokens() {
    let logits = (0..<50).map { Float($0 % 7) }
    func tokens(_ seed: UInt64) -> [Int] {
      var sampler = Sampler(
        sampling {
          $0.temperature = 1
          $0.seed = seed
        })
      return (0..<40).map { _ in sampler.choose(logits, seen: []) }
    }
    #expect(tokens(1) == tokens(1) && tokens(1) != tokens(2))
  }
}
