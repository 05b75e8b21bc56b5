import IngotKernels
import IngotSystem

// The same codes, zero points and scales with rows apart (`Affine`) and across them (`ColumnPacked`).

extension ColumnPacked {
  /// What cannot be repacked, and why.
  struct Misfit: Error {
    var expected: String
    var found: String
  }

  /// The layout of a scheme's numbers; nil when it has no place for them.
  public init?(_ scheme: Affine, layout: Layout) {
    self.init(
      layout: layout, bits: scheme.bits, group: scheme.group, offset: scheme.offset, scale: scheme.scale)
  }

  /// The scheme with the same numbers and rows apart; nil when there is none.
  public var affine: Affine? {
    activationOrder ? nil : Affine(bits: bits, group: group, offset: offset, scale: scale)
  }

  /// The planes of this layout for the planes of `affine`, all rows of them.
  func packed(_ planes: [Bytes], rows: Int, columns: Int) throws(Misfit) -> [Bytes] {
    let groups = groups(columns)
    let codes = planes[0]
    let qweight: Bytes
    if layout == .awq {
      var rowMajor = [UInt8](repeating: 0, count: rows * columns)
      var span = rowMajor.mutableSpan
      // Rows end on words here, so they are one stream.
      unpack(bits: bits, codes.span, into: &span)
      qweight = packedAcrossRows(
        ColumnPacked.transposed(Bytes(rowMajor), width: 1, rows: rows, columns: columns))
    } else {
      qweight = ColumnPacked.transposed(codes, width: 4, rows: rows, columns: columns * bits / 32)
    }
    var zeros = [UInt8](repeating: UInt8(1 << (bits - 1)), count: rows * groups)
    if offset == .zeroPoint {
      let zeroPlane = planes[2]
      let zeroBytes = (groups * bits + 7) / 8
      var span = zeros.mutableSpan
      for row in 0..<rows {
        var target = span._mutatingExtracting(row * groups..<(row + 1) * groups)
        unpack(bits: bits, zeroPlane.span.extracting(row * zeroBytes..<(row + 1) * zeroBytes), into: &target)
      }
    }
    if layout == .gptq {
      for index in zeros.indices {
        guard zeros[index] > 0 else {
          throw Misfit(expected: "zero points from 1, which the first GPTQ layout stores less 1", found: "0")
        }
        zeros[index] -= 1
      }
    }
    let qzeros = packedAcrossRows(
      ColumnPacked.transposed(Bytes(zeros), width: 1, rows: rows, columns: groups))
    let scales = ColumnPacked.transposed(planes[1], width: scale.bits / 8, rows: rows, columns: groups)
    return layout == .awq ? [qweight, qzeros, scales] : [qweight, qzeros, scales, groupIndices(columns)]
  }

  /// Lines of codes along the rows as words.
  private func packedAcrossRows(_ codes: Bytes) -> Bytes {
    var codes = codes.array
    if layout == .awq { ColumnPacked.permute(&codes, ColumnPacked.nibbles) }
    return Bytes(count: packedByteCount(bits: bits, count: codes.count)) { output in
      pack(bits: bits, codes.span, into: &output)
    }
  }

  /// `g_idx` of groups that follow one another.
  public func groupIndices(_ columns: Int) -> Bytes {
    var indices = [UInt8]()
    indices.reserveCapacity(4 * columns)
    for column in 0..<columns {
      let index = UInt32(column / (group ?? columns))
      for byte in 0..<4 { indices.append(UInt8(truncatingIfNeeded: index >> UInt32(8 * byte))) }
    }
    return Bytes(indices)
  }

  /// `qzeros` of zero points that are all the middle.
  public func middleZeroPoints(rows: Int, columns: Int) -> Bytes {
    let stored = UInt8(layout == .gptq ? middle - 1 : middle)
    return packedAcrossRows(Bytes([UInt8](repeating: stored, count: groups(columns) * rows)))
  }

  /// The planes of `affine` for whole planes of this layout.
  func rowPacked(_ planes: [Bytes], rows: Int, columns: Int) throws(Misfit) -> [Bytes] {
    let groups = groups(columns)
    let width = group ?? max(columns, 1)
    if let index = groupOrder(planes, columns: columns).enumerated().first(where: { $1 != $0 / width }) {
      throw Misfit(
        expected: "columns whose groups follow one another",
        found: "column \(index.offset) in group \(index.element): activation order")
    }
    let codes: Bytes
    if layout == .awq {
      codes = packed(self.codes(planes[0], rows: rows, columns: columns))
    } else {
      codes = ColumnPacked.transposed(planes[0], width: 4, rows: columns * bits / 32, columns: rows)
    }
    let scales = ColumnPacked.transposed(planes[2], width: scale.bits / 8, rows: groups, columns: rows)
    let zeros = self.zeros(planes[1], rows: rows, groups: groups)
    if offset == .symmetric {
      let middle = 1 << (bits - 1)
      if let other = zeros.first(where: { $0 != Float(middle) }) {
        throw Misfit(expected: "zero points \(middle), as \"sym\": true says", found: "\(Int(other))")
      }
      return [codes, scales]
    }
    if let wide = zeros.first(where: { $0 >= Float(1 << bits) }) {
      throw Misfit(expected: "zero points of \(bits) bits", found: "\(Int(wide))")
    }
    let zeroBytes = (groups * bits + 7) / 8
    let packedZeros = Bytes(count: rows * zeroBytes) { output in
      var row = [UInt8](repeating: 0, count: groups)
      for index in 0..<rows {
        for group in 0..<groups { row[group] = UInt8(zeros[group * rows + index]) }
        var target = output._mutatingExtracting(index * zeroBytes..<(index + 1) * zeroBytes)
        pack(bits: bits, row.span, into: &target)
      }
    }
    return [codes, scales, packedZeros]
  }

  private func packed(_ codes: [UInt8]) -> Bytes {
    Bytes(count: packedByteCount(bits: bits, count: codes.count)) { output in
      pack(bits: bits, codes.span, into: &output)
    }
  }
}

extension Tensor {
  /// The same numbers across the rows; nil for a tensor that is not affine or that the layout has no place for.
  public func columnPacked(_ layout: ColumnPacked.Layout) -> Tensor? {
    guard case .affine(let scheme) = encoding, let target = ColumnPacked(scheme, layout: layout),
      Encoding.columnPacked(target).planes(shape) != nil
    else { return nil }
    return repacked(.columnPacked(target), target.packed)
  }

  /// The same numbers with rows apart; nil for a tensor that is not column-packed or that `Affine` has no place for.
  public var rowPacked: Tensor? {
    guard case .columnPacked(let scheme) = encoding, let target = scheme.affine else { return nil }
    return repacked(.affine(target), scheme.rowPacked)
  }

  /// This tensor with other planes, made from all of its own at once.
  private func repacked(
    _ target: Encoding,
    _ body: @escaping @Sendable ([Bytes], _ rows: Int, _ columns: Int) throws(ColumnPacked.Misfit) -> [Bytes]
  ) -> Tensor {
    let layout = target.planes(shape)!
    return Tensor(
      name: name, role: role, shape: shape, encoding: target, path: path, offset: offset,
      rowStep: max(rows, 1), unit: unit, sources: { _ in [] },
      make: { range, _ throws(FormatError) in
        let source = try planes()
        defer { for plane in source { plane.release() } }
        do throws(ColumnPacked.Misfit) {
          let planes = try body(source, rows, columns)
          return zip(layout, planes).map { plane, bytes in bytes[plane.range(rows: range)] }
        } catch {
          throw self.error(error.expected, found: error.found)
        }
      })
  }
}
