import Foundation
import IngotFormats
import IngotInference
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors
import Testing

/// Sequences that share passes: each has the bits that it has alone.
@Suite struct ContinuedModelTests {
  /// Tokens of three sequences for each pass; none where a sequence is not in it.
  private static let passes = [
    [7, 0, 1], [1, 5, 0], [1, 1, 9], [0, 1, 1], [3, 1, 1], [1, 1, 1], [1, 2, 1],
  ]

  /// Logits after each part, by sequence.
  private func logits(_ model: ContinuedModel, _ tokens: [[Int]], together: Bool) async throws -> [[[Float]]]
  {
    var sequences = tokens.map { _ in model.sequence() }
    var found = tokens.map { _ in [[Float]]() }
    for pass in Self.passes {
      let members = pass.indices.filter { pass[$0] > 0 }
      for group in together ? [members] : members.map({ [$0] }) {
        let parts = group.map { index in
          let done = sequences[index].tokens.count
          return Array(tokens[index][done..<done + pass[index]])
        }
        var own = group.map { sequences[$0] }
        let all = try await model.feed(&own, parts)
        for (place, index) in group.enumerated() {
          sequences[index] = own[place]
          found[index].append(all[place])
        }
      }
    }
    return found
  }

  @Test(arguments: FamilyFixtures.cases) func sharedPassesChangeNoBits(_ name: String) async throws {
    let golden = try FamilyFixtures.golden(name)
    let model = try ContinuedModel(
      try Model.read("\(FamilyFixtures.folder)/\(name)"), capacity: 40, workers: 2)
    let all = golden.contexts.flatMap(\.tokens)
    let tokens = [
      Array(all.prefix(14)), Array(all.dropFirst(3).prefix(14)), Array(all.reversed().prefix(14)),
    ]
    let together = try await logits(model, tokens, together: true)
    #expect(try await logits(model, tokens, together: false) == together, "\(name)")
  }

  /// So it is with rounded activations, and where experts are given up.
  @Test(arguments: ["int4", "int3", "q4_k_m", "iq3_s"], [false, true])
  func sharedPassesOfRoundedActivationsChangeNoBits(_ recipe: String, _ isTight: Bool) async throws {
    let source = try Nano.model()
    let recipe = try #require(Recipe.builtIn.first { $0.name == recipe })
    let path = FileManager.default.temporaryDirectory.appending(path: "\(UUID()).\(recipe.format ?? "ingot")")
      .path()
    defer { Folder.remove(path) }
    _ = try await source.quantized(by: try recipe.plan(for: source)).write(
      path, as: try #require(Format.all.first { $0.name == recipe.format ?? "ingot" }), WriteOptions())
    let quantized = try Model.read(path)
    let experts = quantized.tensors.filter { $0.role.expert != nil }.reduce(0) { $0 + $1.bytes }
    let model = try ContinuedModel(
      quantized, capacity: 40, workers: 2, isFast: true, memory: isTight ? quantized.bytes - experts / 2 : nil
    )
    let ids = try Nano.heldOut()
    let tokens = [0, 100, 200].map { Array(ids.dropFirst($0).prefix(14)) }
    let together = try await logits(model, tokens, together: true)
    #expect(try await logits(model, tokens, together: false) == together)
  }

  /// Where tokens are cut into passes decides no bits, where the model says so.
  @Test(arguments: FamilyFixtures.cases) func cuttingElsewhereChangesNoBits(_ name: String) async throws {
    let golden = try FamilyFixtures.golden(name)
    let model = try ContinuedModel(
      try Model.read("\(FamilyFixtures.folder)/\(name)"), capacity: 40, workers: 1)
    let tokens = Array(golden.contexts.flatMap(\.tokens).prefix(20))
    var found: [[Float]] = []
    for cuts in [[20], [1, 19], [13, 4, 3], Array(repeating: 1, count: 20)] {
      var sequence = [model.sequence()]
      var logits: [Float] = []
      for cut in cuts {
        let done = sequence[0].tokens.count
        logits = try await model.feed(&sequence, [Array(tokens[done..<done + cut])])[0]
      }
      found.append(logits)
    }
    if model.isCutAnywhere { #expect(found.allSatisfy { $0 == found[0] }, "\(name)") }
  }

  /// A prompt that begins as an earlier one gets the same bits with what was computed of that.
  @Test(arguments: FamilyFixtures.cases) func whatWasComputedIsUsedAgain(_ name: String) async throws {
    let golden = try FamilyFixtures.golden(name)
    let model = try ContinuedModel(
      try Model.read("\(FamilyFixtures.folder)/\(name)"), capacity: 40, workers: 1)
    let tokens = Array(golden.contexts.flatMap(\.tokens).prefix(20))
    let other = Array(tokens.prefix(11) + tokens.reversed().prefix(7))
    let common = zip(tokens, other).prefix { $0 == $1 }.count
    var used = [model.sequence()]
    _ = try await model.feed(&used, [tokens])
    for prompt in [other, tokens + [tokens[3]]] {
      var fresh = [model.sequence()]
      let expected = try await model.feed(&fresh, [prompt])
      let count = model.reusable(used[0], for: prompt)
      let isLonger = prompt.count > tokens.count
      #expect(count <= (isLonger ? tokens.count : common), "\(name)")
      if model.isCutAnywhere && isLonger { #expect(count == tokens.count, "\(name)") }
      guard count > 0 else { continue }
      var again = used
      model.cut(&again[0], to: count)
      #expect(again[0].tokens == Array(prompt.prefix(count)))
      #expect(try await model.feed(&again, [Array(prompt.dropFirst(count))]) == expected, "\(name)")
    }
  }

  @Test func onlyWantedLogits() async throws {
    let model = try ContinuedModel(try Nano.model(), capacity: 40, workers: 2)
    var sequences = [model.sequence(), model.sequence()]
    let logits = try await model.feed(&sequences, [[1, 2], [3]], wantsLogits: [false, true])
    #expect(logits[0].isEmpty && logits[1].count == 2048)
    #expect(sequences.map(\.tokens) == [[1, 2], [3]] && sequences[0].bytes == 2 * sequences[1].bytes)
    await #expect(throws: FormatError.self) { try await model.feed(&sequences, [[1], [4000]]) }
  }

  /// A prompt is cut in the same places wherever it is continued from.
  @Test func promptsAreCutInTheSamePlaces() {
    let prompt = Array(0..<1300)
    #expect(ContinuedModel.nextTokens(of: prompt, done: 0) == prompt[..<512])
    #expect(ContinuedModel.nextTokens(of: prompt, done: 512) == prompt[512..<1024])
    #expect(ContinuedModel.nextTokens(of: prompt, done: 600) == prompt[600..<1024])
    #expect(ContinuedModel.nextTokens(of: prompt, done: 1024) == prompt[1024...])
  }
}
