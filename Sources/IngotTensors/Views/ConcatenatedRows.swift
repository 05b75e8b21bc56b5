import IngotSystem

extension Tensor {
  /// Several matrices as one, their rows one after the other; vectors too, their values. Nothing is read before planes are asked for.
  ///
  /// - Parameter tensors: at least one, with the same encoding and the same extents but for the first.
  /// - Throws: FormatError for tensors that differ otherwise, for encodings that do not keep rows apart, and when a block would
  ///   hold rows of two tensors. Global scales that differ are an error when planes are asked for.
  public static func concatenatingRows(
    _ tensors: [Tensor], name: String, role: Role
  ) throws(FormatError) -> Tensor {
    precondition(!tensors.isEmpty, "no tensors to concatenate")
    let first = tensors[0]
    let encoding = first.encoding
    guard let extent = first.shape.first else {
      throw first.error("a tensor of at least one extent", found: "shape \(first.shape)")
    }
    switch encoding {
    case .columnPacked, .trellis, .tiles:
      throw first.error("an encoding that keeps rows apart", found: "\(encoding)")
    default: break
    }
    let isVector = first.shape.count == 1
    guard !isVector || first.isWholeBytes else {
      throw first.error("vectors in a dense encoding", found: "\(encoding)")
    }
    var total = extent
    for (index, tensor) in tensors.enumerated() {
      guard tensor.encoding == encoding else {
        throw tensor.error("\(encoding), as '\(first.name)' has", found: "\(tensor.encoding)")
      }
      guard tensor.shape.count == first.shape.count, tensor.shape.dropFirst() == first.shape.dropFirst()
      else {
        throw tensor.error("extents of '\(first.name)', \(first.shape)", found: "\(tensor.shape)")
      }
      if case .blockScaled(let scheme) = encoding, index < tensors.count - 1 {
        guard tensor.rows % scheme.blockRows == 0 else {
          throw tensor.error("a multiple of \(scheme.blockRows) rows", found: "\(tensor.rows)")
        }
      }
      guard index > 0 else { continue }
      let (sum, overflow) = total.addingReportingOverflow(tensor.shape[0])
      guard !overflow else { throw tensor.error("fewer rows", found: "\(tensor.shape)") }
      total = sum
    }
    let shape = [total] + first.shape.dropFirst()
    guard let layout = encoding.planes(shape), encoding.bytes(shape) != nil, let matrix = Matrix(shape) else {
      throw first.error("a shape that \(encoding) fits", found: "\(shape)")
    }
    let joined = ConcatenatedRows(tensors: tensors, layout: layout, isVector: isVector)
    return Tensor(
      name: name, role: role, shape: shape, encoding: encoding, path: first.path, offset: first.offset,
      rowStep: joined.rowStep(matrix.rows, encoding),
      sources: { rows in joined.parts(rows).flatMap { tensors[$0.index].sources(rows: $0.rows) } },
      make: { rows, sources throws(FormatError) in try joined.planes(rows, sources) })
  }
}

private struct ConcatenatedRows: Sendable {
  let tensors: [Tensor]
  /// First row of each tensor.
  let starts: [Int]
  let layout: [Plane]
  /// Whether all values are in one row.
  let isVector: Bool

  init(tensors: [Tensor], layout: [Plane], isVector: Bool) {
    self.tensors = tensors
    self.layout = layout
    self.isVector = isVector
    var (starts, row) = ([Int](), 0)
    for tensor in tensors {
      starts.append(row)
      row += tensor.rows
    }
    self.starts = starts
  }

  /// A step from which every tensor's part begins at a step of its own.
  func rowStep(_ rows: Int, _ encoding: Encoding) -> Int {
    let step = max(tensors.map(\.rowStep).max()!, encoding.rowStep(rows: rows))
    let fits = zip(tensors, starts).allSatisfy { step % $0.rowStep == 0 && $1 % $0.rowStep == 0 }
    return isVector ? 1 : fits ? step : max(rows, step)
  }

  /// The tensors that rows belong to, and which of theirs these are.
  func parts(_ rows: Range<Int>) -> [(index: Int, rows: Range<Int>)] {
    if isVector { return rows.isEmpty ? [] : tensors.indices.map { ($0, 0..<1) } }
    return tensors.indices.compactMap { index in
      let clipped = rows.clamped(to: starts[index]..<starts[index] + tensors[index].rows)
      return clipped.isEmpty
        ? nil : (index, clipped.lowerBound - starts[index]..<clipped.upperBound - starts[index])
    }
  }

  func planes(_ rows: Range<Int>, _ sources: [Bytes]) throws(FormatError) -> [Bytes] {
    var parts: [[Bytes]] = []
    var first = 0
    for (index, rows) in self.parts(rows) {
      let tensor = tensors[index]
      let count = tensor.sources(rows: rows).count
      let planes = try tensor.planes(rows: rows, from: Array(sources[first..<first + count]))
      first += count
      if let global = layout.firstIndex(where: { $0.name == "global" }), let other = parts.first {
        guard planes[global].array == other[global].array else {
          throw tensor.error("the global scale of '\(tensors[0].name)'", found: "another one")
        }
      }
      parts.append(planes)
    }
    if parts.count == 1 { return parts[0] }
    return layout.indices.map { index in
      if layout[index].name == "global" { return parts.first?[index] ?? .empty }
      return Bytes(overwriting: parts.reduce(0) { $0 + $1[index].count }) { output in
        var position = 0
        for planes in parts {
          let plane = planes[index]
          copy(plane.span, into: &output, at: position)
          position += plane.count
        }
      }
    }
  }
}
