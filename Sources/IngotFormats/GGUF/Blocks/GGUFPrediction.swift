import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

/// Layers of multi-token prediction, of which the forward pass knows nothing: in a file they come after the other layers, each a
/// layer of the model's own kinds with a projection and norms around it. Its matrices get the types that those of a layer like it
/// have in the file.
///
/// Source: llama.cpp's conversion/glm.py, deepseek.py and qwen.py, September 2026.
struct GGUFPrediction {
  let model: Model
  let family: GGUFFamily
  /// Tensors by the number of their layer, from 0 on.
  private var layers: [Int: Layer] = [:]

  private struct Layer {
    /// The tensors around the block, by their names in the file, whose `#` is the layer.
    var around: [String: Tensor] = [:]
    /// The block's, by their names behind the layer's number.
    var block: [String: Tensor] = [:]
    /// The model's layer that has the same tensors, and the role there of each.
    var twin = 0
    var roles: [String: Role] = [:]
  }

  /// Nil for a model without such layers, for a family whose file has no place for them, and where a tensor among them is none
  /// that such a layer has.
  init?(_ model: Model, _ family: GGUFFamily) {
    guard let places = family.graph.prediction else { return nil }
    self.model = model
    self.family = family
    for tensor in model.tensors where tensor.role.kind == .auxiliary {
      guard let plain = model.family.place.plain(tensor.name),
        model.family.isPrediction(tensor.name, model.blueprint)
      else { continue }
      let (template, indices) = TensorNames.template(plain)
      let first = places.countsOn ? model.blueprint.layerCount : 0
      if let stored = places.around[template] {
        layers[(indices.first ?? first) - first, default: Layer()].around[stored] = tensor
      } else if let (number, name) = places.placeInBlock(plain) {
        layers[number - first, default: Layer()].block[name] = tensor
      } else {
        return nil
      }
    }
    guard !layers.isEmpty, layers.keys.sorted() == Array(0..<layers.count) else { return nil }
    for number in layers.keys {
      guard let (twin, roles) = twin(of: layers[number]!) else { return nil }
      layers[number]!.twin = twin
      layers[number]!.roles = roles
    }
  }

  /// The last layer of the model that has just the tensors of a layer's block, and their roles there.
  private func twin(of layer: Layer) -> (Int, [String: Role])? {
    candidates: for index in model.blueprint.layers.indices.reversed() {
      var roles: [String: Role] = [:]
      for (name, tensor) in layer.block {
        let stored = model.family.place.stored("model.layers.\(index).\(name)")
        guard let role = model.family.role(of: stored, model.blueprint), role.name == nil,
          model.blueprint.spec(of: role)?.shape == tensor.shape
        else { continue candidates }
        roles[name] = role
      }
      let count = model.blueprint.tensors(layer: index).reduce(0) { $0 + ($1.experts ?? 1) }
      if roles.count == count { return (index, roles) }
    }
    return nil
  }

  /// Names of the model's tensors that are stored in this way.
  var names: Set<String> {
    Set(layers.values.flatMap { $0.around.values.map(\.name) + $0.block.values.map(\.name) })
  }

  /// A tensor of a layer's file, before it has its type.
  private struct Part {
    var shape: [Int]
    var tensors: [(expert: Int, tensor: Tensor)]
    /// nil: F32.
    var like: Encoding?
    var isMatrix: Bool
  }

  /// The tensors as a file holds them, under their names there, experts stacked.
  ///
  /// - Parameter adapted: the model as the file holds it.
  func stored(beside adapted: Model) throws(FormatError) -> [Tensor] {
    var stored: [Tensor] = []
    for number in layers.keys.sorted() {
      let layer = layers[number]!
      let target = model.blueprint.layerCount + number
      var parts: [String: Part] = [:]
      for (template, tensor) in layer.around {
        let isMatrix = tensor.shape.count > 1
        var exact = tensor
        if !isMatrix {
          exact = tensor.decoded()
          if model.blueprint.finalNorm.addsOne { exact = exact.adding(1) }
        }
        let rows = tensor.shape[0] == model.blueprint.vocabulary
        parts[template] = Part(
          shape: tensor.shape, tensors: [(0, exact)],
          like: rows ? adapted[model.blueprint.headRole]?.encoding : nil, isMatrix: isMatrix)
      }
      for (name, role) in layer.roles {
        try add(layer.block[name]!, role, adapted, to: &parts)
      }
      for (template, part) in parts.sorted(by: { $0.key < $1.key }) {
        let name = GGUFFamily.name(template, layer: target)
        let sorted = part.tensors.sorted { $0.expert < $1.expert }.map(\.tensor)
        let role = Role(.auxiliary, name: name)
        let whole = try Tensor.concatenatingRows(sorted, name: name, role: role)
        let stack = sorted.count > 1 ? [sorted.count] + part.shape : part.shape
        stored.append(whole.shaped(stack).typed(like: part.like, isMatrix: part.isMatrix))
      }
    }
    return stored
  }

  /// Adds a tensor of a block, as one of its twin's role is stored.
  private func add(_ tensor: Tensor, _ role: Role, _ adapted: Model, to parts: inout [String: Part])
    throws(FormatError)
  {
    var own = tensor
    own.role = role
    let isLinear = model.blueprint.isLinear(role)
    switch own.encoding {
    case .dense where isLinear, .ggml where isLinear: break
    default: own = own.decoded()
    }
    own = try family.adapted(own, model.blueprint)
    if let pieces = try GGUFForm.pieces(of: own, model) {
      let twins = try adapted[role].map { twin throws(FormatError) in try GGUFForm.pieces(of: twin, model) }
      for piece in pieces {
        let like = twins??.first { $0.template == piece.template }?.tensor.encoding
        parts[piece.template] = Part(
          shape: piece.shape, tensors: [(0, piece.tensor)], like: like, isMatrix: isLinear)
      }
      return
    }
    guard let template = family.template(of: role) else {
      throw tensor.error("a tensor that llama.cpp's \(family.name) has a place for", found: "\(role)")
    }
    let isStack = role.expert != nil
    let part = Part(
      shape: isStack ? own.shape : family.storedShape(own, model.blueprint), tensors: [],
      like: adapted[role]?.encoding, isMatrix: isLinear)
    parts[template, default: part].tensors.append((role.expert ?? 0, own))
  }

  /// Layers of multi-token prediction that an adapted model has.
  static func count(in model: Model) -> Int {
    let layers = model.tensors.compactMap { tensor in
      tensor.role.kind == .auxiliary ? tensor.role.name.flatMap { GGUFFamily.template($0).1 } : nil
    }
    return Set(layers).count
  }

  /// Names of an adapted model's tensors of such layers whose values were rounded.
  static func rounded(_ model: Model) -> [String] {
    model.tensors.filter { $0.role.kind == .auxiliary && $0.origin != nil }.map(\.name)
  }
}

extension Family.LlamaCppGraph.Prediction {
  /// The number of the layer that a tensor of a checkpoint is of, and its name behind it.
  fileprivate func placeInBlock(_ name: String) -> (Int, String)? {
    let head = block.prefix { $0 != "#" }
    guard name.hasPrefix(head) else { return nil }
    let parts = name.dropFirst(head.count).split(separator: ".", maxSplits: 1)
    guard parts.count == 2, let number = Int(parts[0]) else { return nil }
    return (number, String(parts[1]))
  }
}

extension Tensor {
  /// The same rows in a shape that has as many.
  func shaped(_ shape: [Int]) -> Tensor {
    guard shape != self.shape else { return self }
    return Tensor(
      name: name, role: role, shape: shape, encoding: encoding, path: path, offset: offset, rowStep: rowStep
    ) { [self] rows throws(FormatError) in try planes(rows: rows) }
  }

  /// In the type that a tensor like it has: a type of blocks where the rows fit, else what holds every value.
  fileprivate func typed(like encoding: Encoding?, isMatrix: Bool) -> Tensor {
    guard isMatrix else { return decoded() }
    if case .ggml = self.encoding { return self }
    guard case .ggml(let type)? = encoding, type.isWritable, columns % type.blockWeights == 0 else {
      if case .dense = self.encoding { return self }
      return decoded()
    }
    let exact = decoded()
    let method: AffineMethod = type == .q80 ? .roundToNearest : .search
    var typed = exact.mapped(to: .ggml(type)) { [columns] rows, planes in
      defer { for plane in planes { plane.release() } }
      var values = [Float](repeating: 0, count: rows.count * columns)
      var span = values.mutableSpan
      Encoding.dense(.f32).decode(planes, rows: rows.count, columns: columns, into: &span)
      return [
        Bytes(count: values.count / type.blockWeights * type.blockBytes) { output in
          guard !values.isEmpty else { return }
          quantizeGGML(
            type: Int(type.rawValue), values.span, rows: rows.count, method: method, blocks: &output)
        }
      ]
    }
    typed.origin = exact
    return typed
  }
}
