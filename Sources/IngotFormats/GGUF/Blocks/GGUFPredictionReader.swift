import IngotModels
import IngotSystem
import IngotTensors

/// Layers of multi-token prediction of a file, as a checkpoint has them.
struct GGUFPredictionReader {
  let family: GGUFFamily
  let blueprint: Blueprint

  /// The checkpoint's tensors of one layer.
  ///
  /// - Parameters:
  ///   - stored: the file's, by templates of their names.
  ///   - layer: its number in the file.
  /// - Returns: nil for a layer with a tensor that none of the model's has; then they stay as the file has them.
  func tensors(_ stored: [String: Tensor], layer: Int) throws(FormatError) -> [Tensor]? {
    guard let places = family.graph.prediction else { return nil }
    var left = stored
    var tensors: [Tensor] = []
    let number = places.countsOn ? layer : layer - blueprint.layerCount
    for (name, template) in places.around {
      guard let tensor = left.removeValue(forKey: template) else { continue }
      let isNorm = tensor.shape.count == 1
      tensors.append(
        try renamed(
          isNorm && blueprint.finalNorm.addsOne ? tensor.adding(-1) : tensor,
          GGUFFamily.name(name, layer: number)))
    }
    let block = GGUFFamily.name(places.block, layer: number)
    for twin in blueprint.layers.indices.reversed() {
      if let own = try self.block(left, twin, block) { return tensors + own }
    }
    return nil
  }

  /// The same tensors by another name.
  private func renamed(_ tensor: Tensor, _ name: String) throws(FormatError) -> Tensor {
    try tensor.selectingRows(0..<tensor.shape[0], name: name, role: Role(.auxiliary, name: name))
  }

  /// The tensors of a block, as one of the model's layers has them; nil where that has others.
  private func block(_ stored: [String: Tensor], _ twin: Int, _ prefix: String) throws(FormatError)
    -> [Tensor]?
  {
    let own = "model.layers.\(twin)."
    func name(_ role: Role) -> String { prefix + family.family.name(of: role).dropFirst(own.count) }
    var left = stored
    var tensors: [Tensor] = []
    for form in GGUFForm.all {
      for tensor in try form.tensors(&left, twin, blueprint, name) {
        tensors.append(try renamed(tensor, tensor.name))
      }
    }
    for (template, tensor) in left {
      guard let (known, isStack) = family.role(of: GGUFFamily.name(template, layer: twin)) else { return nil }
      let role = Role(known.kind, layer: twin, expert: isStack ? 0 : nil)
      guard let spec = blueprint.spec(of: role) else { return nil }
      guard isStack else {
        var logical = tensor.shaped(family.ownShape(tensor.shape, role, blueprint))
        logical.role = role
        guard logical.shape == spec.shape else { return nil }
        if let (heads, _, rotated) = family.permutation(of: role, blueprint) {
          logical = try logical.permutingHeads(to: .halves, heads: heads, rotated: rotated)
        } else {
          logical = family.ownNorm(logical, blueprint)
        }
        tensors.append(try renamed(logical, name(role)))
        continue
      }
      guard let experts = spec.experts, tensor.shape == [experts] + spec.shape else { return nil }
      func one(_ expert: Int) -> String { name(Role(known.kind, layer: twin, expert: expert)) }
      tensors += try tensor.slices(
        experts, name: one, role: { Role(.auxiliary, name: one($0)) })
    }
    let count = blueprint.tensors(layer: twin).reduce(0) { $0 + ($1.experts ?? 1) }
    return tensors.count == count ? tensors : nil
  }
}
