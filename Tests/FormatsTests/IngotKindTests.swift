import IngotFormats
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors
import Testing

/// Kinds of tensors that this build has no block for, and families that it does not know: read, checked, listed and
/// converted, not computed with.
@Suite struct IngotKindTests {
  private func vector(_ name: String, _ scratch: Scratch) throws -> String {
    try scratch.write(try #require(try Vectors.all.get().good.first { $0.name == name }).parts)
  }

  /// A kind of a family that is known.
  @Test func anUnknownKindIsCarriedAlong() async throws {
    let scratch = try Scratch()
    let model = try Model.read(try vector("tiny", scratch))
    let mixing = try #require(model.tensors.first { $0.role.kind.rawValue == "mixing" })
    #expect(mixing.role.layer == 0 && mixing.role.name == mixing.name && !mixing.role.kind.hasBlock)
    #expect(model.isExact(mixing) && !model.canQuantize(mixing))
    let error = try refusal { try model.requireForwardPass() }
    #expect(try #require(error).tensor == mixing.name && error?.found.contains("'mixing'") == true)

    _ = try await model.write(scratch("again.ingot"), as: .ingot, .with())
    let again = try Model.read(scratch("again.ingot"))
    #expect(again.tensors.map(\.role) == model.tensors.map(\.role))
    #expect(try again[mixing.role]?.planes().map(\.array) == mixing.planes().map(\.array))
    #expect(await Format.check(scratch("again.ingot"), workers: 2).problems.isEmpty)

    _ = try await model.decoded(to: .bf16).write(scratch("folder"), as: .safeTensors, .with())
    let plain = try Model.read(scratch("folder"), .init(keepUnknown: true))
    #expect(try plain.tensors.first { $0.name == mixing.name }?.floats() == mixing.floats())
  }

  /// Every tensor of a family that nobody has heard of.
  @Test func anUnknownFamilyKeepsItsKinds() async throws {
    let scratch = try Scratch()
    let path = try vector("unheard-of", scratch)
    let model = try Model.read(path)
    #expect(model.family.isGeneric && model.tensors.allSatisfy(\.role.isOutsideBlocks))
    let error = try refusal { try model.requireForwardPass() }
    #expect(try #require(error).found.contains("unheard_of"))
    let roles = Set(
      model.tensors.map { "\($0.role.kind.rawValue) \($0.role.layer ?? -1) \($0.role.expert ?? -1)" })
    #expect(roles.contains("lifted_9 1 7") && roles.contains("embedding -1 -1"))
    #expect(ModelSummary(model).byRole.contains { $0.kind.rawValue == "decay" && $0.parameters == 16 })
    #expect(try Inventory(path).entries.count == model.tensors.count)

    _ = try await model.write(scratch("again.ingot"), as: .ingot, .with())
    let again = try Model.read(scratch("again.ingot"))
    #expect(again.tensors.map(\.role) == model.tensors.map(\.role))
    for (one, other) in zip(again.tensors, model.tensors) {
      #expect(try one.planes().map(\.array) == other.planes().map(\.array), "\(one.name)")
    }
    _ = try await model.decoded(to: .f32).write(scratch("folder"), as: .safeTensors, .with())
    let plain = try Model.read(scratch("folder"))
    #expect(Set(plain.tensors.map(\.name)) == Set(model.tensors.map(\.name)))
    for tensor in plain.tensors {
      #expect(
        try tensor.floats() == model.tensors.first { $0.name == tensor.name }?.floats(), "\(tensor.name)")
    }
  }

  /// What SPEC.md allows as a name, at its edges.
  @Test func namesOfKinds() {
    let longest = String(repeating: "a", count: 63)
    for name in ["a", "k9", "a_", longest] { #expect(TensorKind.isValid(name), "\(name)") }
    for name in ["", "_a", "9a", "A", "aB", "a-b", "a b", "ä", "a\0", longest + "a"] {
      #expect(!TensorKind.isValid(name), "\(name)")
    }
  }

  /// A kind that readers refuse is not written.
  @Test func aKindThatIsNoneIsRefused() async throws {
    let scratch = try Scratch()
    let model = try Model.read(try vector("unheard-of", scratch))
    let tensors = model.tensors.map { tensor in
      var tensor = tensor
      if tensor.role.kind.rawValue == "decay" { tensor.role.kind = TensorKind(rawValue: "De cay") }
      return tensor
    }
    let changed = try Model(
      family: model.family, blueprint: model.blueprint, tensors: tensors, sideFiles: model.sideFiles,
      path: model.path,
      format: model.format, weightFiles: model.weightFiles)
    let error = try await awaitedRefusal {
      _ = try await changed.write(scratch("again.ingot"), as: .ingot, .with())
    }
    #expect(try #require(error).found == "'De cay'" && error?.tensor == "backbone.blocks.1.decay")
    #expect(try scratch.names == ["unheard-of.ingot"])
  }
}
