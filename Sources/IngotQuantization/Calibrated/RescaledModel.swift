import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

extension Model {
  /// The same function with channels scaled: linear layers become F32, to be quantized; norms, their biases and router keep
  /// their types. Nothing is computed until a tensor's planes are asked for.
  public func rescaled(by scales: ChannelScales) throws(FormatError) -> Model {
    try mapTensors { tensor in
      guard let layer = tensor.role.layer else { return tensor }
      let kind = tensor.role.kind
      var (columns, rows): ([Float]?, [Float]?) = (nil, nil)
      var isExact = false
      for tap in blueprint.layers[layer].taps {
        let factors = scales.factors(
          tap, blueprint.layers[layer], layer: layer, expert: tensor.role.expert ?? 0)
        if factors.isEmpty { continue }
        if tap.linears.contains(kind) { columns = factors }
        if tap.readers.contains(kind) { (columns, isExact) = (factors, true) }
        if tap.source == .norm(kind) { (columns, isExact) = (factors.map { 1 / $0 }, true) }
        if case .norm(let norm) = tap.source, norm.bias == kind {
          (columns, isExact) = (factors.map { 1 / $0 }, true)
        }
        if let absorber = blueprint.layers[layer].absorber(of: tap), absorber.kind == kind {
          var divisors = [Float](repeating: 1, count: tensor.rows)
          for (column, row) in absorber.rows.enumerated() { divisors[row] = 1 / factors[column] }
          rows = divisors
        }
      }
      if columns == nil && rows == nil { return tensor }
      return tensor.scaled(columns: columns, rows: rows, keepingType: isExact)
    }
  }
}

extension Tensor {
  /// Values times a factor for each column and each row.
  ///
  /// - Parameter keepingType: whether they are rounded to the tensor's own dense type, else they become F32.
  fileprivate func scaled(
    columns factors: [Float]?, rows rowFactors: [Float]? = nil, keepingType: Bool = false
  )
    -> Tensor
  {
    let source = self
    let columns = self.columns
    var type = DType.f32
    if keepingType, case .dense(let own) = encoding { type = own }
    let format = type.floatFormat!
    return mapped(to: .dense(type)) { range, planes in
      var values = [Float](repeating: 0, count: range.count * columns)
      var span = values.mutableSpan
      source.encoding.decode(planes, rows: range.count, columns: columns, into: &span)
      // Whoever asked gets values, not these: nobody else lets the system drop a file's pages.
      for plane in planes { plane.release() }
      for row in 0..<range.count {
        let own = rowFactors?[range.lowerBound + row] ?? 1
        for column in 0..<columns { span[row * columns + column] *= own * (factors?[column] ?? 1) }
      }
      return [Bytes(count: values.count * format.byteCount) { encode(format, values.span, into: &$0) }]
    }
  }
}

extension Importance {
  /// The importance of the columns once channels are scaled.
  public mutating func rescale(by scales: ChannelScales, _ blueprint: Blueprint) {
    for (role, means) in columns {
      guard let layer = role.layer, let tap = blueprint.layers[layer].tap(of: role.kind) else { continue }
      let factors = scales.factors(tap, blueprint.layers[layer], layer: layer, expert: role.expert ?? 0)
      if !factors.isEmpty { columns[role] = zip(means, factors).map { $0 / ($1 * $1) } }
    }
  }
}
