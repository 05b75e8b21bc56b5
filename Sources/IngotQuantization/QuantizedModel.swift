import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

/// What the user allows and wants to hear of while a model is quantized.
public struct QuantizationOptions: Sendable {
  /// Replace NaN and infinities of the source by 0 instead of stopping.
  public var allowNonfinite = false
  /// Hears of every chunk of a tensor in which values were replaced: the tensor and how many. From any task.
  public var replaced: (@Sendable (Tensor, Int) -> Void)?
  /// From calibration. The search goes by it where it has a tensor's columns.
  public var importance = Importance()
  /// Hears of tensors with blocks so small that their scales are rounded coarsely, or to 0, where that does not matter. From
  /// any task.
  public var coarse: (@Sendable (Tensor, ScaleWatch.Coarse) -> Void)?
  /// What GPTQ goes by.
  public var calibration: Calibration?
  /// Whether the search goes by the gains of the norm before a layer where `importance` has nothing; otherwise all
  /// columns count the same there.
  public var usesNormGains = true
  /// Chooses codes of integers in place of rounding and search; nil for these.
  public var custom: CustomCodes?

  public init() {}
}

extension Model {
  /// The model with every tensor as the plan says: streamed, or made by a unit of work. Nothing is computed until a tensor's
  /// planes are asked for or a unit is run.
  ///
  /// - Throws: FormatError when the plan leaves a tensor out or a quantizer cannot fill an encoding.
  public func quantized(by plan: Plan, _ options: QuantizationOptions = .init()) throws(FormatError) -> Model
  {
    let units = options.calibration.map { CalibratedUnits(self, plan, $0, options).byRole() } ?? [:]
    return try mapTensors { tensor throws(FormatError) in
      guard let assignment = plan.assignments[tensor.role] else {
        throw tensor.error("an assignment in plan '\(plan.name)'", found: "none")
      }
      guard let name = assignment.quantizer else {
        guard assignment.encoding == tensor.encoding else {
          throw tensor.error("a quantizer from \(tensor.encoding) to \(assignment.encoding)", found: "none")
        }
        return tensor.isFloat ? checked(tensor, options) : tensor
      }
      guard let quantizer = Quantizer(name: name),
        Quantizer.filling(assignment.encoding).contains(quantizer), tensor.encoding.isDecodable
      else {
        throw tensor.error(
          "a quantizer from \(tensor.encoding) to \(assignment.encoding)", found: "'\(name)'")
      }
      if quantizer == .gptq {
        guard let unit = units[tensor.role] else {
          var error = tensor.error("calibration statistics for 'gptq'", found: "none")
          error.remedy = .calibrate
          throw error
        }
        var made = tensor.made(by: unit, as: assignment.encoding)
        made.origin = exact(tensor, options)
        return made
      }
      let norm = quantizer == .search && options.usesNormGains ? inputNorm(of: tensor.role) : nil
      return quantized(tensor, assignment.encoding, quantizer, norm, options)
    }
  }

  /// A tensor whose planes are computed from `source` range by range.
  ///
  /// - Parameter norm: the norm before it, for the search to go by.
  private func quantized(
    _ source: Tensor, _ encoding: Encoding, _ quantizer: Quantizer, _ norm: Tensor?,
    _ options: QuantizationOptions
  ) -> Tensor {
    let measured = options.importance.columns[source.role]
    let watch = ScaleWatch(source, as: encoding, names: { fusedNames(source) }, heard: options.coarse)
    var quantized = source.mapped(to: encoding) { rows, planes throws(FormatError) in
      let importance = measured == nil ? try norm?.importanceOfGains() : measured
      if let custom = options.custom, case .affine(let scheme) = encoding, scheme.offset != .bias {
        let values = try source.finiteFloats(rows, planes, options)
        let made = try custom.planes(source, values, rows: rows, importance, scheme)
        try watch.check(made, rows: rows) { () throws(FormatError) in values }
        return made
      }
      if let made = quantizer.planes(
        stored: planes, source.encoding, rows: rows.count, columns: source.columns, importance: importance,
        encoding: encoding)
      {
        defer { for plane in planes { plane.release() } }
        try watch.check(made, rows: rows) { () throws(FormatError) in source.decoded(planes, rows: rows.count)
        }
        return made
      }
      let values = try source.finiteFloats(rows, planes, options)
      let made = quantizer.planes(
        values, rows: rows.count, columns: source.columns, importance: importance, encoding: encoding)
      try watch.check(made, rows: rows) { () throws(FormatError) in values }
      return made
    }
    quantized.origin = exact(source, options)
    return quantized
  }

  /// Names of the linear layers that read what a tensor reads, which engines fuse with it; its own for an expert.
  func fusedNames(_ tensor: Tensor) -> [String] {
    guard blueprint.isKnown, tensor.role.expert == nil, let layer = tensor.role.layer,
      let tap = blueprint.layers[layer].tap(of: tensor.role.kind)
    else { return [tensor.name] }
    let names = tap.linears.compactMap { self[$0, layer: layer]?.name }
    return names.contains(tensor.name) ? names : [tensor.name]
  }

  /// A tensor's values in F32, all finite or made so as the options say.
  private func exact(_ source: Tensor, _ options: QuantizationOptions) -> Tensor {
    source.mapped(to: .dense(.f32)) { rows, planes throws(FormatError) in
      let values = try source.finiteFloats(rows, planes, options)
      return [Bytes(count: 4 * values.count) { encode(.f32, values.span, into: &$0) }]
    }
  }

  /// A tensor carried through bit for bit, its values looked at on the way.
  private func checked(_ source: Tensor, _ options: QuantizationOptions) -> Tensor {
    source.mapped(to: source.encoding) { rows, planes throws(FormatError) in
      if !options.allowNonfinite { _ = try source.finiteFloats(rows, planes, options) }
      return planes
    }
  }
}

extension Tensor {
  /// Whether its values take part in the forward pass as real numbers.
  var isFloat: Bool { encoding.isDecodable }

  /// Values in F32 of as many rows, from their planes.
  func decoded(_ planes: [Bytes], rows: Int) -> [Float] {
    var values = [Float](repeating: 0, count: rows * columns)
    var span = values.mutableSpan
    encoding.decode(planes, rows: rows, columns: columns, into: &span)
    return values
  }

  /// Values of rows in F32, all finite, from the planes of these rows.
  ///
  /// - Throws: FormatError naming tensor, expert and element for NaN or an infinity, unless that is allowed: then
  ///   they become 0.
  func finiteFloats(
    _ rows: Range<Int>, _ planes: [Bytes], _ options: QuantizationOptions
  ) throws(FormatError) -> [Float] {
    var values = decoded(planes, rows: rows.count)
    for plane in planes { plane.release() }
    guard let index = firstNonFinite(values.span) else { return values }
    guard options.allowNonfinite else {
      let element = "[\(rows.lowerBound + index / columns), \(index % columns)]"
      var error = error("finite values", found: "\(values[index]) at element \(element) of \(role)")
      error.remedy = .allowNonfinite
      throw error
    }
    var count = 0
    for index in values.indices where !values[index].isFinite {
      values[index] = 0
      count += 1
    }
    options.replaced?(self, count)
    return values
  }
}

extension Model {
  /// The model with every quantized tensor as dense values of `type`; dense ones stay as they are.
  ///
  /// F32 holds what every encoding decodes to; BF16 and F16 round.
  public func decoded(to type: DType, _ options: QuantizationOptions = .init()) throws(FormatError) -> Model {
    var assignments = [Role: Plan.Assignment](minimumCapacity: tensors.count)
    for tensor in tensors {
      if case .dense = tensor.encoding {
        assignments[tensor.role] = .init(encoding: tensor.encoding, quantizer: nil)
      } else {
        assignments[tensor.role] = .init(encoding: .dense(type), quantizer: Quantizer.cast.rawValue)
      }
    }
    return try quantized(by: Plan(name: "decode", assignments: assignments), options)
  }

  /// The same model, which stops with the tensor's name where a value that is passed on is not finite.
  public func checkedForFinite() throws(FormatError) -> Model {
    try mapTensors { $0.isFloat ? checked($0, .init()) : $0 }
  }
}
