import Kernels
import Models
import Tensors

extension Model {
  /// The same function with channels scaled: linear layers become F32, to be quantized; norms and router keep their
  /// types. Nothing is computed until a tensor's planes are asked for.
  public func rescaled(by scales: ChannelScales) throws(FormatError) -> Model {
    try mapTensors { tensor in
      guard let layer = tensor.role.layer else { return tensor }
      let (attention, experts) = (scales.attention[layer], scales.experts[layer])
      let output = scales.output[layer]
      let inner = tensor.role.expert.flatMap { expert in
        scales.inner[layer].isEmpty ? nil : scales.inner[layer][expert]
      }
      switch tensor.role.part {
      case .attentionNorm where !attention.isEmpty:
        return tensor.scaled(columns: attention.map { 1 / $0 }, keepingType: true)
      case .query where !attention.isEmpty, .key where !attention.isEmpty:
        return tensor.scaled(columns: attention)
      case .value where !attention.isEmpty || !output.isEmpty:
        var rows = [Float](repeating: 1, count: tensor.rows)
        if !output.isEmpty {
          for (column, row) in ChannelScales.valueRows(hyperparameters.attention).enumerated() {
            rows[row] = 1 / output[column]
          }
        }
        return tensor.scaled(columns: attention.isEmpty ? nil : attention, rows: rows)
      case .attentionOutput where !output.isEmpty: return tensor.scaled(columns: output)
      case .feedForwardNorm where !experts.isEmpty:
        return tensor.scaled(columns: experts.map { 1 / $0 }, keepingType: true)
      case .router where !experts.isEmpty: return tensor.scaled(columns: experts, keepingType: true)
      case .gate where !experts.isEmpty: return tensor.scaled(columns: experts)
      case .up where !experts.isEmpty || inner != nil:
        return tensor.scaled(columns: experts.isEmpty ? nil : experts, rows: inner?.map { 1 / $0 })
      case .down: return inner.map { tensor.scaled(columns: $0) } ?? tensor
      default: return tensor
      }
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
  public mutating func rescale(by scales: ChannelScales) {
    for (role, means) in columns {
      guard let layer = role.layer else { continue }
      let factors: [Float]
      switch role.part {
      case .query, .key, .value: factors = scales.attention[layer]
      case .attentionOutput: factors = scales.output[layer]
      case .gate, .up: factors = scales.experts[layer]
      case .down: factors = scales.inner[layer].isEmpty ? [] : scales.inner[layer][role.expert ?? 0]
      default: continue
      }
      if !factors.isEmpty { columns[role] = zip(means, factors).map { $0 / ($1 * $1) } }
    }
  }
}
