import IngotInference
import IngotModels
import IngotSystem
import IngotTensors
import Testing

@Suite struct RefusalTests {
  /// The embedded model with one value of some tensors replaced.
  static func model(_ value: Float, in roles: [Role], path: String = "broken") throws -> Model {
    var model = try Nano.model().mapTensors { tensor throws(FormatError) in
      guard roles.contains(tensor.role) else { return tensor }
      var values = try tensor.floats()
      values[values.count / 2] = value
      let bytes = values.flatMap { value in
        (0..<4).map { UInt8(truncatingIfNeeded: value.bitPattern >> (8 * $0)) }
      }
      return Tensor(
        name: tensor.name, role: tensor.role, shape: tensor.shape, encoding: .dense(.f32), path: path,
        planes: [Bytes(bytes)])
    }
    model.path = path
    return model
  }

  static func refusal(_ body: () async throws -> Void) async -> FormatError? {
    do {
      try await body()
      return nil
    } catch {
      return error as? FormatError
    }
  }

  @Test(arguments: [
    (Role(.down, layer: 2, expert: 3), "finite outputs of expert 3 of layer 2"),
    (Role(.gate, layer: 0, expert: 1), "finite outputs of expert 1 of layer 0"),
    (Role(.value, layer: 1), "a finite hidden state after the attention of layer 1"),
    (Role(.router, layer: 3), "finite router scores in layer 3"),
    (Role(.feedForwardNorm, layer: 3), "finite inputs to the experts of layer 3"),
    (Role(.finalNorm), "finite inputs to the head"),
    (Role(.head), "finite logits"),
  ])
  func nanAndInfinityAreNamed(_ role: Role, _ expected: String) async throws {
    let contexts = try Nano.contexts(2, of: 64)
    let original = try Nano.model()
    for value in [Float.nan, .infinity] {
      let broken = try Self.model(value, in: [role])
      for workers in 1...3 {
        let error = await Self.refusal {
          _ = try await verify(broken, against: original, contexts, VerifyTests.options(workers: workers))
        }
        #expect(error?.path == "broken")
        #expect(error?.expected == expected)
        #expect(error?.found.contains(" of context ") == true, "\(error?.found ?? "")")
        let alone = await Self.refusal { _ = try await perplexity(of: broken, contexts) }
        #expect(alone == error)
        let reversed = await Self.refusal { _ = try await verify(original, against: broken, contexts) }
        #expect(reversed == error)
      }
    }
  }

  /// No activation shows it: the expert would be chosen always, or never.
  @Test func nanInTheRouterBiasIsNamed() async throws {
    for value in [Float.nan, .infinity, -.infinity] {
      let broken = try Self.model(value, in: [Role(.routerBias, layer: 2)])
      let error = await Self.refusal { _ = try await perplexity(of: broken, Nano.contexts(1, of: 16)) }
      #expect(error?.tensor == "model.layers.2.block_sparse_moe.e_score_correction_bias")
      #expect(error?.found == "\(value) for expert 4 of layer 2")
    }
  }

  @Test func theFirstFaultIsNamed() async throws {
    let roles = [1, 4, 6].map { Role(.down, layer: 1, expert: $0) }
    let broken = try Self.model(.nan, in: roles)
    for workers in 1...4 {
      let error = await Self.refusal {
        _ = try await perplexity(of: broken, Nano.contexts(2, of: 64), VerifyTests.options(workers: workers))
      }
      #expect(error?.expected == "finite outputs of expert 1 of layer 1")
    }
  }

  @Test func nanInTheEmbeddingIsNamed() async throws {
    let broken = try Self.model(.nan, in: [Role(.embedding)])
    let error = await Self.refusal { _ = try await perplexity(of: broken, [Context([7, 8, 1024, 9])]) }
    #expect(error?.description == "broken: expected a finite embedding, found nan at token 2 of context 0")
  }

  @Test func tokensAndContextsOutOfBounds() async throws {
    let model = try Nano.model()
    func error(_ contexts: [Context]) async -> String? {
      await Self.refusal { _ = try await perplexity(of: model, contexts) }?.found
    }
    #expect(
      await error([Context([1, 2, 3]), Context([1, 2048, 3], text: "t")])
        == "2048 at position 1 of context 1 ('t')")
    #expect(await error([Context([1, -1, 3])]) == "-1 at position 1 of context 0")
    #expect(await error([Context([1, 2, 3]), Context([])]) == "0 tokens in context 1")
    #expect(
      await error([Context([Int](repeating: 1, count: 4097))])
        == "4097 tokens in context 0; give shorter contexts")
    #expect(
      await error([Context([1, 2]), Context([1])]) == "none among 2; give a longer text, or longer contexts")
    #expect(await error([]) == "no context; give a longer text, or longer contexts")
    #expect(await error([Context([1, 2, 3])]) == nil)
  }

  @Test func modelsOfDifferentSizesAreNamed() async throws {
    let model = try Nano.model()
    var other = model
    other.path = "other"
    other.blueprint.vocabulary = 2047
    let error = await Self.refusal { _ = try await verify(other, against: model, [Context([1, 2, 3])]) }
    #expect(error?.path == "other")
    #expect(error?.expected == "4 layers, hidden size 256, vocabulary 2048, 8 experts as \(model.path) has")
    #expect(error?.found == "4 layers, hidden size 256, vocabulary 2047, 8 experts")
  }

  @Test func scoredPositionsAreTheSecondHalf() {
    #expect(Context([Int](repeating: 0, count: 512)).scoredPositions == 256..<511)
    #expect(Context([0, 0, 0]).scoredPositions == 1..<2)
    #expect(Context([0, 0]).scoredPositions.isEmpty)
    #expect(Context([0]).scoredPositions.isEmpty)
    #expect(Context([]).scoredPositions.isEmpty)
    #expect(
      Context.cut([1, 2, 3, 4, 5], length: 2, text: "t") == [
        Context([1, 2], text: "t"), Context([3, 4], text: "t"),
      ])
  }
}
