import Models
import Quantization
import Tensors

extension PlanFile {
  private static let sizeLimit = 1 << 28

  /// Reads a plan.
  ///
  /// - Throws: FormatError naming the line's key, what was expected and what was found.
  public static func read(_ path: String) throws(FormatError) -> PlanFile {
    let bytes = try Bytes.mapping(path)
    guard bytes.count <= sizeLimit else {
      throw FormatError(path: path, expected: "at most \(sizeLimit) bytes", found: "\(bytes.count)")
    }
    let json = try JSON.parse(bytes.array, path: path)
    func wrong(_ expected: String, _ found: JSON?) -> FormatError {
      FormatError(path: path, expected: expected, found: found?.kind ?? "none")
    }
    guard let object = json.object, json["plan"]?.int == 1 else {
      throw wrong("\"plan\": 1, as 'ingot plan -o' writes", json["plan"])
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
    var file = PlanFile(name: json["name"]?.string ?? Folder.name(of: path), format: format, tensors: tensors)
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

  /// What each tensor of a model becomes.
  ///
  /// - Parameter path: of the file, for messages.
  /// - Throws: FormatError for a line that names nothing in the model, for experts that are named twice or not at all, and
  ///   for encodings that do not fit.
  public func plan(for model: Model, path: String) throws(FormatError) -> Plan {
    if let name = self.model.flatMap(ModelName.init) { try name.require(model, path: path) }
    var plan = Plan(name: name, assignments: [:])
    plan.assignments.reserveCapacity(model.tensors.count)
    for tensor in model.tensors {
      plan.assignments[tensor.role] = .init(encoding: tensor.encoding, quantizer: nil)
    }
    let experts = model.hyperparameters.experts.count
    for (key, line) in tensors {
      func wrong(_ expected: String, _ found: String) -> FormatError {
        FormatError(path: path, expected: "\(expected) in \"\(printable(key))\"", found: found)
      }
      let isStack = StackName.role(key).map { [Role.Part.gate, .up, .down].contains($0.part) } ?? false
      guard let stack = StackName.role(key),
        model[Role(stack.part, layer: stack.layer, expert: isStack ? 0 : nil)] != nil
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
          throw wrong("an encoding that fits a tensor of \(tensor.shape)", "'\(encoding)'")
        }
        plan.assignments[role] = .init(encoding: encoding, quantizer: quantizer.rawValue)
      }
      if let text = line.string {
        for expert in isStack ? 0..<experts : 0..<1 {
          try assign(text, Role(stack.part, layer: stack.layer, expert: isStack ? expert : nil))
        }
        continue
      }
      guard isStack, let runs = line.object else {
        throw wrong(
          isStack ? "an encoding, or encodings with their experts" : "the name of an encoding", line.kind)
      }
      var seen = [Bool](repeating: false, count: experts)
      for (text, value) in runs {
        guard let list = value.string, let numbers = Runs.numbers(list) else {
          throw wrong("experts such as \"0-6, 9\" for '\(printable(text))'", value.kind)
        }
        for number in numbers {
          guard number < experts else { throw wrong("experts from 0 to \(experts - 1)", "\(number)") }
          guard !seen[number] else { throw wrong("every expert once", "expert \(number) a second time") }
          seen[number] = true
          try assign(text, Role(stack.part, layer: stack.layer, expert: number))
        }
      }
      if let missing = seen.firstIndex(of: false) {
        throw wrong("all \(experts) experts", "none for expert \(missing)")
      }
    }
    return plan
  }
}
