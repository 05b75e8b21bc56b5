import IngotModels
import IngotSystem
import IngotTensors

extension Model {
  /// Refuses what engines cannot load because they fuse layers: experts of several encodings (all experts of a model
  /// are stacked, and all of them may be dense), query, key and value of a layer that differ, and a quantized embedding or head.
  ///
  /// - Parameters:
  ///   - recipe: name of one that gives what `format` needs.
  ///   - needsExperts: whether dense experts are refused.
  /// - Returns: the experts' encoding; where they are dense or there are none, that of most bytes.
  func requireFusible(_ format: String, recipe: String, needsExperts: Bool = false) throws(FormatError)
    -> Encoding
  {
    let advice = "(recipe '\(recipe)' does this)"
    var experts: Encoding?
    var bytes: [Encoding: Int] = [:]
    for tensor in tensors {
      let (role, encoding) = (tensor.role, tensor.encoding)
      guard blueprint.isKnown else {
        if case .dense = encoding { continue }
        bytes[encoding, default: 0] += tensor.bytes
        continue
      }
      guard blueprint.isLinear(role) else { continue }
      guard let layer = role.layer else {
        guard case .dense = encoding else {
          throw tensor.error(
            "the \(role.kind.rawValue) in a dense type for \(format) \(advice)", found: "\(encoding)")
        }
        continue
      }
      if role.expert != nil {
        if let experts, experts != encoding {
          throw tensor.error(
            "all experts in one encoding: engines stack them \(advice)", found: "\(encoding) after \(experts)"
          )
        }
        experts = encoding
        continue
      }
      // Linear layers that read the same input are one matrix in engines.
      let siblings = (blueprint.layers[layer].tap(of: role.kind)?.linears ?? []).filter {
        self[$0, layer: layer] != nil
      }
      if let first = siblings.first, let sibling = self[first, layer: layer], sibling.encoding != encoding {
        let names = siblings.map(\.rawValue)
        throw tensor.error(
          "\(names.dropLast().joined(separator: ", ")) and \(names.last!) of a layer in one encoding: engines fuse them "
            + advice, found: "\(encoding), the \(first.rawValue) in \(sibling.encoding)")
      }
      if case .dense = encoding { continue }
      bytes[encoding, default: 0] += tensor.bytes
    }
    if case .dense? = experts {
      if needsExperts {
        throw unquantizable("quantized experts for \(format)", advice) { $0.role.expert != nil }
      }
      experts = nil
    }
    // Without experts the encoding that most bytes have; among equals the first name.
    let most = bytes.max { ($0.value, $1.key.description) < ($1.value, $0.key.description) }?.key
    guard let main = experts ?? most else {
      throw unquantizable("quantized linear layers for \(format)", advice) {
        $0.role.layer != nil && blueprint.isLinear($0.role)
      }
    }
    return main
  }

  /// An error about matrices that are dense: since groups do not divide their rows, or since nobody quantized them.
  private func unquantizable(_ expected: String, _ advice: String, _ matches: (Tensor) -> Bool) -> FormatError
  {
    let widths = Set(tensors.filter(matches).map(\.columns)).sorted()
    guard widths.contains(where: { $0 % 32 != 0 }) else {
      return FormatError(path: path, expected: "\(expected) \(advice)", found: "none")
    }
    let own = Format.ingot
    return FormatError(
      path: path,
      expected:
        "\(expected), whose rows groups of 32 divide; an output that ends in \(own.traits.suffix ?? own.name) takes "
        + "rows of any length (recipe int4)",
      found: "rows of \(widths.map(String.init).joined(separator: ", ")) weights")
  }

  /// Names of the linear modules that stay dense, the head first: what engines are told not to look for codes in.
  var denseModules: [String] {
    var modules: [String] = []
    for tensor in tensors {
      let name = family.name(of: tensor.role)
      guard case .dense = tensor.encoding, tensor.shape.count == 2, tensor.role != Role(.embedding),
        name.hasSuffix(".weight")
      else { continue }
      modules.insert(
        String(name.dropLast(".weight".count)), at: tensor.role == Role(.head) ? 0 : modules.count)
    }
    // A tied head is a module of engines all the same.
    if blueprint.isHeadTied || !blueprint.isKnown && !modules.contains("lm_head") {
      modules.insert("lm_head", at: 0)
    }
    return modules
  }
}
