import Models
import Tensors

extension Model {
  /// Refuses what engines cannot load because they fuse layers: experts of several encodings (all experts of a model
  /// are stacked), query, key and value of a layer that differ, and a quantized embedding or head.
  ///
  /// - Parameter recipe: name of one that gives what `format` needs.
  /// - Returns: the experts' encoding.
  func requireFusible(_ format: String, recipe: String) throws(FormatError) -> Encoding {
    let advice = "(recipe '\(recipe)' does this)"
    var experts: Encoding?
    for tensor in tensors {
      let encoding = tensor.encoding
      switch tensor.role.part {
      case .embedding, .head:
        guard case .dense = encoding else {
          throw tensor.error(
            "the \(tensor.role.part.rawValue) in a dense type for \(format) \(advice)", found: "\(encoding)")
        }
      case .key, .value:
        guard let query = self[.query, layer: tensor.role.layer], query.encoding == encoding else {
          throw tensor.error(
            "query, key and value of a layer in one encoding: engines fuse them \(advice)",
            found:
              "\(encoding), the query in \(self[.query, layer: tensor.role.layer]?.encoding.description ?? "none")"
          )
        }
      case .gate, .up, .down:
        if case .dense = encoding {
          throw tensor.error("quantized experts for \(format) \(advice)", found: "\(encoding)")
        }
        if let experts, experts != encoding {
          throw tensor.error(
            "all experts in one encoding: engines stack them \(advice)", found: "\(encoding) after \(experts)"
          )
        }
        experts = encoding
      default: break
      }
    }
    guard let experts else {
      throw FormatError(path: path, expected: "a model with experts for \(format)", found: "none")
    }
    return experts
  }

  /// Names of the linear modules that stay dense, the head first: what engines are told not to look for codes in.
  var denseModules: [String] {
    var modules: [String] = []
    for tensor in tensors {
      let name = architecture.name(of: tensor.role)
      guard case .dense = tensor.encoding, tensor.shape.count == 2, tensor.role.part != .embedding,
        name.hasSuffix(".weight")
      else { continue }
      modules.insert(
        String(name.dropLast(".weight".count)), at: tensor.role.part == .head ? 0 : modules.count)
    }
    return modules
  }
}
