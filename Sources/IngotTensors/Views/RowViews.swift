import IngotSystem

// Some rows of a tensor as a tensor of their own. Nothing is read before planes are asked for, and then only what a range of rows
// needs.

extension Tensor {
  /// Some entries along the first extent, in any order: rows of a matrix, values of a vector.
  ///
  /// Bytes stay as they are, and so does the encoding, but for block-scaled tensors: when new blocks would mix rows of
  /// several old ones, blocks get fewer rows, down to one, and scales are repeated; values are the same bit for bit.
  ///
  /// - Throws: FormatError for rows the tensor does not have, and for encodings in which entries are not apart: column-packed ones
  ///   (`rowPacked` first) and vectors that are not dense.
  public func selectingRows(
    _ selection: RowSelection, name: String? = nil, role: Role? = nil
  ) throws(FormatError) -> Tensor {
    guard let extent = shape.first else {
      throw error("a tensor of at least one extent", found: "shape \(shape)")
    }
    guard selection.bound <= extent else {
      throw error("rows below \(extent)", found: "row \(selection.bound - 1)")
    }
    if shape.count == 1 { return try selectingColumns(selection, name: name, role: role) }
    return try view(
      selection.scaled(by: extent == 0 ? 0 : rows / extent), shape: [selection.count] + shape.dropFirst(),
      name: name, role: role)
  }

  /// Rows `range`; see `selectingRows` of a selection.
  public func selectingRows(
    _ range: Range<Int>, name: String? = nil, role: Role? = nil
  ) throws(FormatError) -> Tensor {
    guard range.lowerBound >= 0 else { throw error("rows from 0", found: "row \(range.lowerBound)") }
    return try selectingRows(.range(range), name: name, role: role)
  }

  /// Some entries along the first extent, in the encoding they have.
  ///
  /// - Throws: FormatError for an encoding in which such entries are not apart.
  public func selecting(_ entries: [Int]) throws(FormatError) -> Tensor {
    let tensor = try selectingRows(.entries(entries))
    guard tensor.encoding == encoding else {
      throw error("an encoding of which single rows can be taken, such as bf16", found: "\(encoding)")
    }
    return tensor
  }

  /// The rows of query or key with those that rotary embedding rotates in `order`, from the other order; biases too.
  ///
  /// - Parameters:
  ///   - heads: heads that the rows belong to.
  ///   - rotated: rows of each head that are rotated, its first ones; nil for all.
  /// - Throws: FormatError when rows are not those of so many heads, and what `selectingRows` throws.
  public func permutingHeads(
    to order: RowSelection.RotaryOrder, heads: Int, rotated: Int? = nil, name: String? = nil,
    role: Role? = nil
  ) throws(FormatError) -> Tensor {
    guard let extent = shape.first, heads > 0, extent % heads == 0 else {
      throw error("rows of \(heads) heads", found: "shape \(shape)")
    }
    let headRows = extent / heads
    let rotated = rotated ?? headRows
    guard rotated >= 0, rotated <= headRows, rotated % 2 == 0 else {
      throw error("an even number of rotated rows up to a head's \(headRows)", found: "\(rotated)")
    }
    return try selectingRows(
      .heads(heads, headRows: headRows, rotated: rotated, to: order), name: name, role: role)
  }

  /// The matrices of a stack, or the rows of a matrix as vectors: entries along the first extent, each a tensor without that extent.
  ///
  /// - Parameters:
  ///   - count: how many there must be.
  ///   - name, role: those of each index.
  /// - Throws: FormatError for a tensor that is not a stack of so many, and what `selectingRows` throws.
  public func slices(
    _ count: Int, name: (_ index: Int) -> String, role: (_ index: Int) -> Role
  ) throws(FormatError) -> [Tensor] {
    guard shape.count >= 2, shape[0] == count else {
      throw error("a stack of \(count) tensors", found: "shape \(shape)")
    }
    let unit = count == 0 ? 0 : rows / count
    if shape.count == 2 {
      guard isWholeBytes else { throw error("vectors in a dense encoding", found: "\(encoding)") }
    }
    var tensors: [Tensor] = []
    tensors.reserveCapacity(count)
    for index in 0..<count {
      let rows = RowSelection.range(index * unit..<(index + 1) * unit)
      tensors.append(
        try view(rows, shape: Array(shape.dropFirst()), name: name(index), role: role(index)))
    }
    return tensors
  }

  /// Whether each value of a row takes bytes of its own.
  var isWholeBytes: Bool {
    if case .dense(let type) = encoding { return type.bits % 8 == 0 }
    return false
  }

  /// Rows of the matrix that this tensor is seen as, in a shape that has as many.
  private func view(
    _ selection: RowSelection, shape: [Int], name: String?, role: Role?
  ) throws(FormatError) -> Tensor {
    switch encoding {
    case .columnPacked, .trellis, .tiles:
      throw error("an encoding that keeps rows apart", found: "\(encoding)")
    default: break
    }
    let target = encoding(selecting: selection)
    guard let layout = target.planes(shape), target.bytes(shape) != nil else {
      throw error("a shape that \(target) fits", found: "\(shape)")
    }
    let sourceLayout = encoding.planes(self.shape)!
    let range = selection.contiguous
    if let stored, let range, target == encoding {
      let starts = sourceLayout.map { range.lowerBound / $0.step * $0.bytesPerRow }
      return Tensor(
        name: name ?? self.name, role: role ?? self.role, shape: shape, encoding: encoding, path: path,
        offset: offset &+ UInt64(starts[0]),
        planes: zip(stored, zip(layout, starts)).map { plane, place in
          plane[place.1..<place.1 + place.0.bytes]
        })
    }
    let view = RowView(base: self, selection: selection, sourceLayout: sourceLayout, layout: layout)
    let least = target.rowStep(rows: selection.count)
    // A load begins at a step of the source's and drops what is before the rows wanted. With steps as large as the source's it reads
    // at most twice what it needs; a source that is had only as a whole is read once.
    let step = rowStep >= rows ? max(rowStep == 1 ? 1 : selection.count, least) : max(rowStep, least)
    var tensor = Tensor(
      name: name ?? self.name, role: role ?? self.role, shape: shape, encoding: target, path: path,
      offset: offset, rowStep: step, unit: unit,
      sources: { rows in view.windows(rows).flatMap { view.base.sources(rows: $0) } },
      make: { rows, sources throws(FormatError) in try view.planes(rows, sources) })
    if stored != nil, target == encoding, 2 * selection.count > rows { tensor.reordered = (self, selection) }
    return tensor
  }

  /// The encoding of selected rows: this one, with as many rows a block as come from a single block each.
  private func encoding(selecting selection: RowSelection) -> Encoding {
    guard case .blockScaled(var scheme) = encoding, scheme.blockRows > 1, columns > 0 else { return encoding }
    let source = scheme.blockRows
    var blockRows = source
    var previous: Int?
    for run in selection.runs(0..<selection.count) where blockRows > 1 {
      if let previous, previous != run.start / source { blockRows = gcd(blockRows, run.row) }
      if run.step == 1 {
        let boundary = source - run.start % source
        if boundary < run.count { blockRows = gcd(blockRows, run.row + boundary) }
      } else {
        var block = run.start / source
        for index in 0..<run.count where blockRows > 1 {
          let next = (run.start + index * run.step) / source
          if next != block { blockRows = gcd(blockRows, run.row + index) }
          block = next
        }
      }
      previous = run.last / source
    }
    scheme.blockRows = blockRows
    return .blockScaled(scheme)
  }
}

/// The greatest common divisor; the other number when one is 0.
func gcd(_ a: Int, _ b: Int) -> Int {
  var (a, b) = (a, b)
  while b != 0 { (a, b) = (b, a % b) }
  return a
}

/// How the planes of selected rows are made from a tensor's.
private struct RowView: Sendable {
  let base: Tensor
  let selection: RowSelection
  /// Planes of `base`, and those of the selection.
  let sourceLayout: [Plane]
  let layout: [Plane]

  /// Steps up to this are read over: all rows from the first to the last, in one piece.
  private static let nearStep = 8

  /// Ranges of the source's rows that hold the selected rows `rows`: apart, ascending, each from a step of the source's.
  ///
  /// The two halves of interleaved matrices get the same ranges, so that a file's hash takes in a range once.
  func windows(_ rows: Range<Int>) -> [Range<Int>] {
    guard base.columns > 0 else { return [] }
    let step = base.rowStep
    var ranges: [Range<Int>] = []
    func add(_ range: Range<Int>) {
      let range = range.lowerBound / step * step..<range.upperBound
      if let last = ranges.last, last.lowerBound <= range.lowerBound, range.lowerBound <= last.upperBound {
        ranges[ranges.count - 1] = last.lowerBound..<max(last.upperBound, range.upperBound)
      } else {
        ranges.append(range)
      }
    }
    for run in selection.runs(rows) {
      if run.step <= RowView.nearStep {
        let end = min((run.last / run.step + 1) * run.step, base.rows)
        add(run.start / run.step * run.step..<end)
      } else {
        for index in 0..<run.count {
          let row = run.start + index * run.step
          add(row..<row + 1)
        }
      }
    }
    let sorted = ranges.sorted { $0.lowerBound < $1.lowerBound }
    ranges = []
    for range in sorted { add(range) }
    return ranges
  }

  /// The planes of the selected rows `rows`, from the sources of their windows.
  func planes(_ rows: Range<Int>, _ sources: [Bytes]) throws(FormatError) -> [Bytes] {
    let windows = windows(rows)
    var windowPlanes: [[Bytes]] = []
    var first = 0
    for window in windows {
      let count = base.sources(rows: window).count
      windowPlanes.append(try base.planes(rows: window, from: Array(sources[first..<first + count])))
      first += count
    }
    let runs = selection.runs(rows)
    return layout.indices.map { index in
      let (plane, source) = (layout[index], sourceLayout[index])
      let size = plane.range(rows: rows).count
      guard size > 0 else { return .empty }
      // A value for all rows.
      if plane.name == "global" { return windowPlanes[0][index][0..<size] }
      /// The source's plane with the row that its row `row` is in, and where that begins.
      func place(_ row: Int) -> (plane: Bytes, start: Int) {
        let window = window(of: row, in: windows)
        let start = (row / source.step - windows[window].lowerBound / source.step) * source.bytesPerRow
        return (windowPlanes[window][index], start)
      }
      if runs.count == 1, runs[0].step == 1, plane.step == source.step {
        let (bytes, start) = place(runs[0].start)
        return bytes[start..<start + size]
      }
      return Bytes(overwriting: size) { output in
        if source.step == 1 {
          for run in runs {
            let target = (run.row - rows.lowerBound) * plane.bytesPerRow
            if run.step == 1 {
              let (bytes, start) = place(run.start)
              copy(bytes[start..<start + run.count * plane.bytesPerRow].span, into: &output, at: target)
              continue
            }
            for index in 0..<run.count {
              let (bytes, start) = place(run.start + index * run.step)
              copy(
                bytes[start..<start + plane.bytesPerRow].span, into: &output,
                at: target + index * plane.bytesPerRow)
            }
          }
        } else {
          for (line, row) in stride(from: rows.lowerBound, to: rows.upperBound, by: plane.step).enumerated() {
            let (bytes, start) = place(selection[row])
            copy(
              bytes[start..<start + plane.bytesPerRow].span, into: &output, at: line * plane.bytesPerRow)
          }
        }
      }
    }
  }

  /// The window that row `row` of the source is in.
  private func window(of row: Int, in windows: [Range<Int>]) -> Int {
    var (low, high) = (0, windows.count - 1)
    while low < high {
      let middle = (low + high) / 2
      if windows[middle].upperBound > row { high = middle } else { low = middle + 1 }
    }
    return low
  }
}
