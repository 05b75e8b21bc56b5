import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors

extension PlanFile {
  private static let sizeLimit = 1 << 28

  /// Reads a plan.
  ///
  /// - Throws: FormatError naming the line's key, what was expected and what was found.
  public static func read(_ path: String) throws(FormatError) -> PlanFile {
    let bytes = try Bytes.mapping(path)
    guard bytes.count <= sizeLimit else {
      throw FormatError(
        path: path, expected: "a plan of at most \(sizeLimit) bytes", found: "\(bytes.count) bytes")
    }
    let json = try JSON.parse(bytes.array, path: path)
    func wrong(_ expected: String, _ found: JSON?) -> FormatError {
      FormatError(path: path, expected: expected, found: found?.kind ?? "none")
    }
    guard let object = json.object, json["plan"]?.int == 1 else {
      throw wrong("\"plan\": 1, as 'ingot plan' writes it", json["plan"])
    }
    for (key, _) in object where !keys.contains(key) {
      throw FormatError(
        path: path, expected: "one of the keys \(keys.joined(separator: ", "))",
        found: "'\(printable(key))'")
    }
    guard let format = json["format"]?.string else { throw wrong("the name of a \"format\"", json["format"]) }
    guard let tensors = json["tensors"]?.object, tensors.count > 0 else {
      throw wrong("\"tensors\", an object with a line for each", json["tensors"])
    }
    if let name = json["name"], name.string == nil { throw wrong("text for \"name\"", name) }
    if let lines = json["dropped"], lines.object == nil {
      throw wrong("\"dropped\", an object with a line for each layer", lines)
    }
    var file = PlanFile(
      name: json["name"]?.string ?? Folder.name(of: path), format: format, tensors: tensors,
      dropped: json["dropped"]?.object ?? [:])
    if let found = json["predicted"] {
      guard let predicted = Predicted(found) else {
        throw wrong(
          "\"predicted\" with checksum, bytes, tensorBytes, bitsPerWeight and perhaps klDivergence", found)
      }
      file.predicted = predicted
    }
    file.model = json["model"]
    file.budget = json["budget"]
    file.sensitivity = json["sensitivity"]
    file.curve = json["curve"]?.array ?? []
    file.uniform = json["uniform"]?.array ?? []
    file.errors = json["errors"]?.object ?? [:]
    return file
  }

  /// The experts that are left out of a model; nil for none.
  ///
  /// - Throws: FormatError naming the layer that lacks another number of them than the others do.
  func dropped(of model: Model, path: String) throws(FormatError) -> DroppedExperts? {
    guard dropped.count > 0 else { return nil }
    let blueprint = model.blueprint
    func wrong(_ expected: String, _ found: String) -> FormatError {
      FormatError(path: path, expected: "\(expected) in \"dropped\"", found: found)
    }
    var layers = [[Int]](repeating: [], count: blueprint.layerCount)
    for (key, line) in dropped {
      guard let layer = StackName.layer(key), layer < blueprint.layerCount else {
        throw wrong(
          "layers from \"layers.0\" to \"layers.\(blueprint.layerCount - 1)\"", "'\(printable(key))'")
      }
      guard let experts = line.string.flatMap({ $0.isEmpty ? [] : Runs.numbers($0) }) else {
        throw wrong("experts such as \"0-6, 9\" for \"\(key)\"", line.kind)
      }
      layers[layer] = experts.sorted()
      if let large = experts.max(), large >= blueprint.experts.count {
        throw wrong("experts from 0 to \(blueprint.experts.count - 1) for \"\(key)\"", "\(large)")
      }
      if let twice = zip(layers[layer], layers[layer].dropFirst()).first(where: { $0 == $1 }) {
        throw wrong("every expert once for \"\(key)\"", "expert \(twice.0) a second time")
      }
    }
    // Most layers are right where one was edited.
    var counts: [Int: Int] = [:]
    for layer in blueprint.mixtures { counts[layers[layer].count, default: 0] += 1 }
    let usual = counts.max { ($0.value, $1.key) < ($1.value, $0.key) }?.key ?? 0
    for (layer, experts) in layers.enumerated()
    where experts.count != (blueprint.layers[layer].feedForward.isMixture ? usual : 0) {
      throw wrong(
        "\(usual) experts for \"\(StackName.text(layer: layer))\", as for other layers (a model has one number of experts)",
        "\(experts.count)")
    }
    guard blueprint.experts.count - usual >= blueprint.experts.perToken else {
      throw wrong(
        "at most \(blueprint.experts.count - blueprint.experts.perToken) of \(blueprint.experts.count) experts per layer, since a token goes "
          + "to \(blueprint.experts.perToken)", "\(usual)")
    }
    return usual == 0 ? nil : DroppedExperts(experts: blueprint.experts.count, layers: layers)
  }

  /// What each tensor of a model becomes.
  ///
  /// - Parameter path: of the file, for messages.
  /// - Throws: FormatError for a line that names nothing in the model, for experts that are named twice or not at all, and
  ///   for encodings that do not fit.
  public func plan(for model: Model, path: String) throws(FormatError) -> Plan {
    if let name = self.model.flatMap(ModelName.init) { try name.require(model, path: path) }
    let dropped = try dropped(of: model, path: path)
    func planned(_ role: Role) -> Role? { dropped.map { $0.role(role) } ?? role }
    var plan = Plan(name: name, assignments: [:], dropped: dropped)
    plan.assignments.reserveCapacity(model.tensors.count)
    for tensor in model.tensors {
      guard let role = planned(tensor.role) else { continue }
      plan.assignments[role] = .init(encoding: tensor.encoding, quantizer: nil)
    }
    let experts = model.blueprint.experts.count
    for (key, line) in tensors {
      func wrong(_ expected: String, _ found: String) -> FormatError {
        FormatError(path: path, expected: "\(expected) in \"\(printable(key))\"", found: found)
      }
      let isStack = StackName.role(key).map { model[$0.kind, layer: $0.layer, expert: 0] != nil } ?? false
      guard let stack = StackName.role(key),
        model[Role(stack.kind, layer: stack.layer, expert: isStack ? 0 : nil)] != nil,
        model.blueprint.isLinear(stack)
      else {
        throw FormatError(
          path: path,
          expected: "the name of a tensor of \(model.path), such as \"head\", \"layers.0.query\" or "
            + "\"layers.0.gate\" (all experts)", found: "'\(printable(key))'")
      }
      func assign(_ text: String, _ role: Role) throws(FormatError) {
        let tensor = model[role]!
        if text == "keep" { return }
        guard let encoding = Encoding(name: text) else {
          throw wrong("an encoding, such as 'int4 g64 zero f16', 'q4_k' or 'keep'", "'\(printable(text))'")
        }
        if encoding == tensor.encoding { return }
        guard model.canQuantize(tensor), encoding.planes(tensor.shape) != nil,
          let quantizer = Quantizer.filling(encoding).first
        else {
          throw wrong(
            "an encoding whose blocks divide the rows of a tensor of \(tensor.shape), or 'keep'",
            "'\(encoding)'")
        }
        guard let role = planned(role) else { return }
        plan.assignments[role] = .init(encoding: encoding, quantizer: quantizer.rawValue)
      }
      if let text = line.string {
        for expert in isStack ? 0..<experts : 0..<1 {
          try assign(text, Role(stack.kind, layer: stack.layer, expert: isStack ? expert : nil))
        }
        continue
      }
      guard isStack, let runs = line.object else {
        throw wrong(
          isStack ? "an encoding, or encodings with their experts" : "the name of an encoding", line.kind)
      }
      let gone = Set(stack.layer.flatMap { dropped?.layers[$0] } ?? [])
      var seen = (0..<experts).map { gone.contains($0) }
      for (text, value) in runs {
        guard let list = value.string, let numbers = Runs.numbers(list) else {
          throw wrong("experts such as \"0-6, 9\" for '\(printable(text))'", value.kind)
        }
        for number in numbers {
          guard number < experts else { throw wrong("experts from 0 to \(experts - 1)", "\(number)") }
          guard !gone.contains(number) else {
            throw wrong("experts that are not dropped", "expert \(number), which is")
          }
          guard !seen[number] else { throw wrong("every expert once", "expert \(number) a second time") }
          seen[number] = true
          try assign(text, Role(stack.kind, layer: stack.layer, expert: number))
        }
      }
      if let missing = seen.firstIndex(of: false) {
        throw wrong(
          gone.isEmpty ? "all \(experts) experts" : "all \(experts - gone.count) experts that are left",
          "none for expert \(missing)")
      }
    }
    return plan
  }
}
