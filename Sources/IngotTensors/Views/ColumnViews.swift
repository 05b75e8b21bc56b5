import IngotKernels
import IngotSystem

// Some columns of a tensor, or its columns as rows, as a tensor of their own. Nothing is read before planes are asked for.

extension Tensor {
  /// Columns `range` of the matrix: entries along the last extent. Whole rows are read.
  ///
  /// The encoding stays the same, but for the columns of a block: where blocks would begin elsewhere, they get fewer, and scales
  /// are repeated.
  ///
  /// - Throws: FormatError for columns the tensor does not have, when groups or blocks would be cut at their front, when the columns
  ///   do not end where the encoding can end, and for column-packed encodings (`rowPacked` first).
  public func selectingColumns(
    _ range: Range<Int>, name: String? = nil, role: Role? = nil
  ) throws(FormatError) -> Tensor {
    guard !shape.isEmpty else { throw error("a tensor of at least one extent", found: "shape \(shape)") }
    guard range.lowerBound >= 0, range.upperBound <= columns else {
      throw error("columns of \(columns)", found: "columns \(range)")
    }
    let (target, cuts) = try cuts(range)
    let shape = Array(shape.dropLast()) + [range.count]
    guard let layout = target.planes(shape) else {
      throw error("columns that fill whole blocks or bytes", found: "columns \(range)")
    }
    let sourceLayout = encoding.planes(self.shape)!
    if let stored, rows == 1, isWholeBytes, case .dense(let type) = encoding {
      let start = range.lowerBound * type.bits / 8
      return Tensor(
        name: name ?? self.name, role: role ?? self.role, shape: shape, encoding: target, path: path,
        offset: offset &+ UInt64(start), planes: [stored[0][start..<start + layout[0].bytes]])
    }
    return columnView(target, shape: shape, name: name, role: role) { rows, planes in
      layout.indices.map { index in
        let lines = planes[index].count / max(sourceLayout[index].bytesPerRow, 1)
        let size = layout[index].range(rows: rows).count
        guard size > 0 else { return .empty }
        return cuts[index].cut(planes[index], lines: lines, size: size)
      }
    }
  }

  /// Some columns in any order, of a dense tensor whose values take whole bytes.
  ///
  /// - Throws: FormatError for columns the tensor does not have and, unless they follow one another, for other encodings.
  public func selectingColumns(
    _ selection: RowSelection, name: String? = nil, role: Role? = nil
  ) throws(FormatError) -> Tensor {
    guard !shape.isEmpty else { throw error("a tensor of at least one extent", found: "shape \(shape)") }
    guard selection.bound <= columns else {
      throw error("columns below \(columns)", found: "column \(selection.bound - 1)")
    }
    guard case .dense(let type) = encoding, isWholeBytes else {
      // The values of a vector are its only row's columns.
      guard shape.count > 1, let range = selection.contiguous else {
        throw error("an encoding of which single values can be taken, such as bf16", found: "\(encoding)")
      }
      return try selectingColumns(range, name: name, role: role)
    }
    if let range = selection.contiguous { return try selectingColumns(range, name: name, role: role) }
    let shape = Array(shape.dropLast()) + [selection.count]
    guard let layout = encoding.planes(shape) else {
      throw error("a shape that \(encoding) fits", found: "\(shape)")
    }
    let (width, columns) = (type.bits / 8, columns)
    return columnView(encoding, shape: shape, name: name, role: role) { rows, planes in
      let size = layout[0].range(rows: rows).count
      guard size > 0 else { return [.empty] }
      let runs = selection.runs(0..<selection.count)
      let source = planes[0]
      return [
        Bytes(overwriting: size) { output in
          for row in 0..<rows.count {
            for run in runs {
              let start = (row * columns + run.start) * width
              let target = (row * selection.count + run.row) * width
              if run.step == 1 {
                copy(source[start..<start + run.count * width].span, into: &output, at: target)
              } else {
                gather(
                  width, source.span, from: start, step: run.step * width, run.count, into: &output,
                  at: target)
              }
            }
          }
        }
      ]
    }
  }

  /// The matrix with rows as columns. It is had as a whole.
  ///
  /// Possible for dense matrices whose values take whole bytes, and for block-scaled ones, whose blocks are transposed too.
  ///
  /// - Throws: FormatError for other encodings and for a tensor that does not have two extents.
  public func transposed(name: String? = nil, role: Role? = nil) throws(FormatError) -> Tensor {
    guard shape.count == 2 else { throw error("a matrix to transpose", found: "shape \(shape)") }
    let target: Encoding
    switch encoding {
    case .dense where isWholeBytes: target = encoding
    case .blockScaled(var scheme):
      swap(&scheme.blockRows, &scheme.blockColumns)
      target = .blockScaled(scheme)
    default: throw error("an encoding that can be transposed, such as bf16", found: "\(encoding)")
    }
    let shape = [columns, rows]
    guard let layout = target.planes(shape) else {
      throw error("a shape that \(target) fits", found: "\(shape)")
    }
    let (base, sourceLayout) = (self, encoding.planes(self.shape)!)
    return Tensor(
      name: name ?? self.name, role: role ?? self.role, shape: shape, encoding: target, path: path,
      offset: offset, rowStep: max(columns, target.rowStep(rows: columns), 1), unit: unit,
      sources: { rows in rows.isEmpty ? [] : base.sources(rows: 0..<base.rows) },
      make: { rows, sources throws(FormatError) in
        guard !rows.isEmpty else { return layout.map { _ in .empty } }
        let planes = try base.planes(rows: 0..<base.rows, from: sources)
        return layout.indices.map { index in
          let (plane, source) = (layout[index], sourceLayout[index])
          let size = plane.range(rows: rows).count
          guard size > 0 else { return .empty }
          let lines = size / plane.bytesPerRow
          let width = source.dtype.bits / 8
          let cut = PackedColumns(
            bits: 8 * width, total: source.bytesPerRow / width, range: 0..<lines)
          let part = cut.cut(planes[index], lines: source.rows, size: size)
          return Bytes(overwriting: size) { output in
            transpose(width: width, part.span, rows: source.rows, columns: lines, into: &output)
          }
        }
      })
  }

  /// A tensor with as many rows whose planes are made from the planes of the same rows.
  private func columnView(
    _ target: Encoding, shape: [Int], name: String?, role: Role?,
    _ body: @escaping @Sendable (_ rows: Range<Int>, _ planes: [Bytes]) -> [Bytes]
  ) -> Tensor {
    let base = self
    return Tensor(
      name: name ?? self.name, role: role ?? self.role, shape: shape, encoding: target, path: path,
      offset: offset, rowStep: rowStep, unit: unit, sources: { rows in base.sources(rows: rows) },
      make: { rows, sources throws(FormatError) in body(rows, try base.planes(rows: rows, from: sources)) })
  }

  /// What is taken of each plane for the columns `range`, and the encoding that this gives.
  private func cuts(_ range: Range<Int>) throws(FormatError) -> (Encoding, [PackedColumns]) {
    /// Groups that begin with the range, which is one of `width` columns each.
    func groups(_ width: Int) throws(FormatError) -> Range<Int> {
      guard range.isEmpty || range.lowerBound % width == 0 else {
        throw error("columns from a multiple of \(width)", found: "columns \(range)")
      }
      let first = range.lowerBound / width
      return first..<first + Matrix.steps(range.count, width)
    }
    let columns = columns
    func packed(_ bits: Int, group: Int = 1, _ range: Range<Int>) -> PackedColumns {
      PackedColumns(bits: bits, total: Matrix.steps(columns, group), range: range)
    }
    switch encoding {
    case .dense(let type):
      guard range.isEmpty || range.lowerBound * type.bits % 8 == 0 else {
        throw error("columns from a whole byte", found: "columns \(range)")
      }
      return (encoding, [packed(type.bits, range)])
    case .affine(let scheme):
      let width = scheme.group ?? max(columns, 1)
      let groups = scheme.group == nil ? 0..<scheme.groups(range.count) : try groups(width)
      let scales = packed(scheme.scale.bits, group: width, groups)
      let codes = packed(scheme.bits, range)
      switch scheme.offset {
      case .symmetric: return (encoding, [codes, scales])
      case .zeroPoint: return (encoding, [codes, scales, packed(scheme.bits, group: width, groups)])
      case .bias: return (encoding, [codes, scales, scales])
      }
    case .microScaled(let scheme):
      let planes = [
        packed(scheme.bits, range),
        packed(scheme.scale.bits, group: scheme.group, try groups(scheme.group)),
      ]
      let global = PackedColumns(bits: 32, total: 1, range: 0..<1)
      return (encoding, scheme.hasGlobal ? planes + [global] : planes)
    case .blockScaled(let source):
      var scheme = source
      // The first column of a new block that comes from another old one.
      let boundary = source.blockColumns - range.lowerBound % source.blockColumns
      if boundary < range.count { scheme.blockColumns = gcd(source.blockColumns, boundary) }
      var scales = packed(scheme.scale.bits, group: source.blockColumns, 0..<0)
      scales.entries = (0..<Matrix.steps(range.count, scheme.blockColumns)).map {
        (range.lowerBound + $0 * scheme.blockColumns) / source.blockColumns
      }
      return (.blockScaled(scheme), [packed(8, range), scales])
    case .ggml(let type):
      let width = type.blockWeights
      guard range.isEmpty || range.count % width == 0 else {
        throw error("whole blocks of \(width) columns", found: "columns \(range)")
      }
      return (encoding, [packed(8 * type.blockBytes, group: width, try groups(width))])
    case .columnPacked, .trellis, .tiles:
      throw error("an encoding that keeps rows apart", found: "\(encoding)")
    }
  }
}

/// Entries of the lines of a plane. A line is one bit stream that ends on a byte.
private struct PackedColumns: Sendable {
  /// Width of an entry; one of more than 8 takes whole bytes or is cut at whole bytes only.
  var bits: Int
  /// Entries of a line.
  var total: Int
  var range: Range<Int>
  /// Entries in place of `range`, of whole bytes each.
  var entries: [Int]?

  /// - Parameter size: bytes of the result.
  func cut(_ plane: Bytes, lines: Int, size: Int) -> Bytes {
    let lineBytes = (total * bits + 7) / 8
    let newBytes = size / max(lines, 1)
    if let entries {
      let width = bits / 8
      return Bytes(overwriting: size) { output in
        for line in 0..<lines {
          for (index, entry) in entries.enumerated() {
            let start = line * lineBytes + entry * width
            copy(plane[start..<start + width].span, into: &output, at: line * newBytes + index * width)
          }
        }
      }
    }
    if range == 0..<total { return plane }
    let start = range.lowerBound * bits
    if start % 8 == 0 {
      let spare = newBytes * 8 - range.count * bits
      if lines == 1, spare == 0 { return plane[start / 8..<start / 8 + newBytes] }
      return Bytes(overwriting: size) { output in
        for line in 0..<lines {
          let first = line * lineBytes + start / 8
          copy(plane[first..<first + newBytes].span, into: &output, at: line * newBytes)
          guard spare > 0 else { continue }
          // Bits behind the last entry are 0.
          output.storeBytes(
            of: plane[first + newBytes - 1] & (255 >> UInt8(spare)), toByteOffset: (line + 1) * newBytes - 1,
            as: UInt8.self)
        }
      }
    }
    var codes = [UInt8](repeating: 0, count: total)
    return Bytes(overwriting: size) { output in
      for line in 0..<lines {
        var span = codes.mutableSpan
        unpack(bits: bits, plane.span.extracting(line * lineBytes..<(line + 1) * lineBytes), into: &span)
        var target = output._mutatingExtracting(line * newBytes..<(line + 1) * newBytes)
        pack(bits: bits, codes.span.extracting(range), into: &target)
      }
    }
  }
}

/// Copies `count` values of `width` bytes, `step` bytes apart.
private func gather(
  _ width: Int, _ source: RawSpan, from start: Int, step: Int, _ count: Int, into out: inout MutableRawSpan,
  at target: Int
) {
  switch width {
  case 1: gather(UInt8.self, source, from: start, step: step, count, into: &out, at: target)
  case 2: gather(UInt16.self, source, from: start, step: step, count, into: &out, at: target)
  case 4: gather(UInt32.self, source, from: start, step: step, count, into: &out, at: target)
  default: gather(UInt64.self, source, from: start, step: step, count, into: &out, at: target)
  }
}

private func gather<T: FixedWidthInteger & BitwiseCopyable>(
  _ type: T.Type, _ source: RawSpan, from start: Int, step: Int, _ count: Int,
  into out: inout MutableRawSpan, at target: Int
) {
  for index in 0..<count {
    out.storeBytes(
      of: source.littleEndian(T.self, at: start + index * step).littleEndian,
      toByteOffset: target + index * MemoryLayout<T>.size, as: T.self)
  }
}
