import IngotModels
import IngotSystem
import IngotTensors

/// What GPTQ and AWQ checkpoints share: every quantized module as `qweight`, `qzeros`, `scales` and perhaps `g_idx`, one
/// width and one group size for the whole model, stated in config.json.
struct ColumnPackedWriter {
  let model: Model
  let scheme: ColumnPacked

  /// - Throws: FormatError naming a tensor that engines would not load beside the others.
  init(_ model: Model, format: String, recipe: String) throws(FormatError) {
    self.model = model
    let experts = try model.requireFusible(format, recipe: recipe)
    guard case .columnPacked(let scheme) = experts else {
      preconditionFailure("\(experts) is refused before")
    }
    self.scheme = scheme
    for tensor in model.tensors {
      if case .dense = tensor.encoding { continue }
      guard tensor.encoding == experts else {
        throw tensor.error(
          "all quantized tensors of a \(format) model in \(experts): its config has one width, group and kind of "
            + "zero points (recipe '\(recipe)' does this)", found: "\(tensor.encoding)")
      }
    }
  }

  /// - Parameters:
  ///   - use: one line for the model card on what loads it.
  ///   - config: `quantization_config` of config.json.
  func output(_ path: String, _ options: WriteOptions, use: String, config: JSON) throws(FormatError)
    -> SafeTensorsOutput
  {
    var items: [[SafeTensorsOutput.Item]] = []
    items.reserveCapacity(model.tensors.count)
    for (index, tensor) in model.tensors.enumerated() {
      let name = model.family.name(of: tensor.role)
      if case .dense(let type) = tensor.encoding {
        items.append([.init(name: name, dtype: type, shape: tensor.shape, parts: [(index, 0)])])
        continue
      }
      guard name.hasSuffix(".weight"), tensor.shape.count == 2,
        let stored = scheme.stored(rows: tensor.rows, columns: tensor.columns)
      else {
        throw tensor.error(
          "a module's weight of two extents whose codes fill words of 32 bits in \(scheme) (a first rule with its name and "
            + "'encoding: bf16' in a recipe leaves it dense)", found: "shape \(tensor.shape)")
      }
      let module = name.dropLast("weight".count)
      items.append(
        stored.enumerated().map { plane, part in
          .init(name: module + part.name, dtype: part.dtype, shape: part.shape, parts: [(index, plane)])
        })
    }
    let card = ModelCard(model: model, options: options, library: "transformers", use: use)
    return SafeTensorsOutput(
      model: model, path: path, options: options, items: items,
      sideFiles: card.added(to: try model.sideFiles { $0["quantization_config"] = config }))
  }
}

/// Reads the column-packed modules of GPTQ and AWQ checkpoints.
struct ColumnPackedReader {
  let files: SafeTensorsFiles
  let layout: ColumnPacked.Layout
  let offset: Affine.Offset
  let activationOrder: Bool
  /// Width and group size by the config; nil where it may differ by module.
  let bits: Int?
  let group: Int?

  func read(_ format: String, keepUnknown: Bool) throws(FormatError) -> Model {
    let beside = layout == .awq ? ["qzeros", "scales"] : ["qzeros", "scales", "g_idx"]
    return try PackedModules(files: files, main: "qweight", beside: Set(beside))
      .model(format, keepUnknown: keepUnknown, tensor: tensor)
  }

  private func tensor(_ module: PackedModules.Module) throws(FormatError) -> Tensor {
    let main = module.main
    let limit = 1 << 24
    guard main.dtype == .i32, main.shape.count == 2, main.shape.allSatisfy({ (1...limit).contains($0) })
    else {
      throw module.error("qweight", "I32 of two extents", found: "\(main.dtype.rawValue) \(main.shape)")
    }
    let (rows, columns, bits) = try extents(module)
    guard let scales = module["scales"], scales.shape.count == 2, (1...columns).contains(scales.shape[0]),
      columns % scales.shape[0] == 0
    else {
      throw module.error(
        "scales", "scales (groups, \(rows)) of groups that divide \(columns) columns",
        found: module["scales"].map { "shape \($0.shape)" } ?? "none of this name")
    }
    let width = columns / scales.shape[0]
    if let group, group != width, group > 0 || scales.shape[0] != 1 {
      throw module.error(
        "scales", "groups of \(group) columns, as quantization_config says", found: "groups of \(width)")
    }
    guard
      let scheme = ColumnPacked(
        layout: layout, bits: bits, group: width, offset: offset, scale: scales.dtype,
        activationOrder: activationOrder),
      let stored = scheme.stored(rows: rows, columns: columns)
    else {
      throw module.error(
        "qweight", "codes of 2, 3, 4 or 8 bits that fill their words, with scales of F16, BF16 or F32",
        found: "\(bits) bits, shape [\(rows), \(columns)], \(scales.dtype.rawValue) scales")
    }
    // Symmetric AWQ: engines do not need them. They are made when the tensor is asked for.
    let lacksZeros = layout == .awq && offset == .symmetric && module["qzeros"] == nil
    var planes: [Bytes] = []
    for part in stored {
      // AutoRound leaves groups out that follow one another.
      if part.name == "g_idx", module["g_idx"] == nil, !activationOrder {
        planes.append(scheme.groupIndices(columns))
      } else if part.name == "qzeros", lacksZeros {
        planes.append(.empty)
      } else {
        planes.append(try module.part(part.name, [part.dtype], part.shape).bytes)
      }
    }
    let groups = scales.shape[0]
    // Groups of columns and zero points are data: they are looked at when the tensor is asked for.
    let loader: Tensor.Load = { [stored = planes] _ throws(FormatError) in
      var planes = stored
      if lacksZeros {
        planes[1] = scheme.middleZeroPoints(rows: rows, columns: columns)
      } else if scheme.offset == .symmetric,
        let zero = scheme.zeroPointBesidesMiddle(planes[1], rows: rows, groups: groups)
      {
        throw module.error(
          "qzeros",
          "zero points \(scheme.middle) everywhere, since quantization_config has "
            + (layout == .awq ? "zero_point: false" : "sym: true"),
          found: layout == .awq
            ? "\(zero); zero_point: true reads it as it is stored"
            : "\(zero), by the layout of checkpoint_format; sym: false reads it as it is stored")
      }
      if let order = planes.count > 3 ? planes[3] : nil {
        for column in 0..<columns {
          let index = order.span.littleEndian(Int32.self, at: 4 * column)
          guard index >= 0, index < groups else {
            throw module.error("g_idx", "one of \(groups) groups", found: "\(index) for column \(column)")
          }
        }
      }
      return planes
    }
    return Tensor(
      name: module.weight, role: module.role, shape: [rows, columns], encoding: .columnPacked(scheme),
      path: main.path, offset: main.offset, load: loader)
  }

  /// Rows, columns and width of a module by its shapes, held against the config.
  private func extents(_ module: PackedModules.Module) throws(FormatError) -> (Int, Int, Int) {
    let shape = module.main.shape
    if layout == .awq { return (shape[1] * 8, shape[0], 4) }
    // Zero points take as many bits as codes: one for each of the rows.
    let zeros = module["qzeros"].flatMap { $0.shape.count == 2 && $0.shape[1] <= 1 << 24 ? $0.shape[1] : nil }
    let widths = bits ?? zeros.map { $0 * 32 / shape[1] }
    guard
      let columns = module["g_idx"]?.shape.first ?? widths.flatMap({ $0 > 0 ? shape[0] * 32 / $0 : nil }),
      columns > 0, columns <= 1 << 24, shape[0] * 32 % columns == 0
    else {
      throw module.error(
        "qweight", "whole codes for each of the columns of g_idx, or as wide as those of qzeros",
        found: "shape \(shape)")
    }
    let width = shape[0] * 32 / columns
    if let bits, bits != width {
      throw module.error("qweight", "\(bits) bits, as quantization_config says", found: "\(width) by shapes")
    }
    return (shape[1], columns, width)
  }
}
