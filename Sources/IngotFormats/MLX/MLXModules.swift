import IngotModels
import IngotSystem
import IngotTensors

/// A model's tensors as mlx-lm's class of the family keeps them: which stored tensor each is, or is a part of.
struct MLXModules {
  /// A stored tensor before it is cut into codes, scales and biases.
  struct Stored {
    var name: String
    /// Indices of the tensors that it holds: of the experts of a layer in their order, else of one.
    var members: [Int]
    /// Whether there is an extent for the members.
    var isStack: Bool
    /// The extents of a member where they are not the tensor's.
    var shape: [Int]?
    /// Whether the class's module takes codes.
    var isQuantizable: Bool
  }

  /// The model's tensors, with those in their places that MLX keeps instead.
  private(set) var tensors: [Tensor] = []
  private(set) var stored: [Stored] = []

  /// - Throws: FormatError for a tensor that mlx-lm has no module for.
  init(_ model: Model, _ family: Family) throws(FormatError) {
    var places: [String: Int] = [:]
    let keepsF32 = MLXNorms.keepsF32(model)
    for tensor in model.tensors {
      let role = tensor.role
      guard !role.isOutsideBlocks else {
        throw tensor.error(
          "a tensor that mlx-lm has a module for",
          found: "\(role), which it refuses to load; write another format")
      }
      if let latents = MLXLatents(role, family, model.blueprint) {
        let (embed, unembed) = try latents.split(tensor)
        add(embed, latents.paths.embed + MLXNames.weight, isQuantizable: true)
        add(unembed, latents.paths.unembed + MLXNames.weight, isQuantizable: true)
      } else if role.expert != nil, let layer = role.layer {
        guard let name = MLXNames.stack(role.kind, layer: layer, family) else {
          throw tensor.error(
            "a gate, up or down projection of an expert, which MLX stacks",
            found: "\(role); write another format")
        }
        if let place = places[name] {
          stored[place].members.append(tensors.count)
          tensors.append(tensor)
        } else {
          places[name] = stored.count
          add(tensor, name, isStack: true, isQuantizable: tensor.shape.count == 2)
        }
      } else {
        let tensor = MLXNorms.isSum(role, family) ? MLXNorms.added(tensor, keepsF32: keepsF32) : tensor
        add(
          tensor, family.name(of: role), shape: MLXConvolutions.stored(role, tensor.shape),
          isQuantizable: model.blueprint.isLinear(role) && tensor.shape.count == 2)
      }
    }
    for index in stored.indices where stored[index].isStack {
      stored[index].members.sort { (tensors[$0].role.expert ?? 0) < (tensors[$1].role.expert ?? 0) }
    }
  }

  private mutating func add(
    _ tensor: Tensor, _ name: String, isStack: Bool = false, shape: [Int]? = nil, isQuantizable: Bool
  ) {
    stored.append(
      Stored(
        name: name, members: [tensors.count], isStack: isStack, shape: shape, isQuantizable: isQuantizable))
    tensors.append(tensor)
  }
}
