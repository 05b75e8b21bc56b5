import IngotKernels
import IngotSystem
import IngotTensors
import Testing

/// The layouts of GPTQ and AWQ against their descriptions, and repacking both ways.
@Suite struct ColumnPackedTests {
  typealias Layout = ColumnPacked.Layout
  static let rows = 64
  static let columns = 96

  static let schemes: [ColumnPacked] = Layout.allCases.flatMap { layout in
    [2, 3, 4, 8].flatMap { bits in
      [32, 96, nil].flatMap { group in
        [Affine.Offset.symmetric, .zeroPoint].compactMap { offset in
          ColumnPacked(layout: layout, bits: bits, group: group, offset: offset, scale: .f16)
        }
      }
    }
  }

  /// Numbers of an affine tensor, and its planes.
  struct Sample {
    var codes: [UInt8]
    var zeros: [UInt8]
    var tensor: Tensor
  }

  static func sample(_ scheme: Affine, lowestZero: UInt8 = 1) -> Sample {
    var state: UInt64 = 17
    func next() -> UInt64 {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return state >> 33
    }
    let groups = scheme.groups(columns)
    let limit = UInt64(1 << scheme.bits)
    let codes = (0..<rows * columns).map { _ in UInt8(next() % limit) }
    let zeros = (0..<rows * groups).map { _ in
      scheme.offset == .symmetric ? UInt8(limit / 2) : max(lowestZero, UInt8(next() % limit))
    }
    // F16 with exponents in the middle.
    let scales = (0..<rows * groups).flatMap { _ in
      [UInt8(next() & 255), UInt8(0x20 + next() % 16 | next() & 1 << 7)]
    }
    func packed(_ values: [UInt8], _ width: Int) -> Bytes {
      let bytes = packedByteCount(bits: scheme.bits, count: width)
      return Bytes(count: rows * bytes) { output in
        for row in 0..<rows {
          var target = output._mutatingExtracting(row * bytes..<(row + 1) * bytes)
          pack(bits: scheme.bits, values.span.extracting(row * width..<(row + 1) * width), into: &target)
        }
      }
    }
    var planes = [packed(codes, columns), Bytes(scales)]
    if scheme.offset == .zeroPoint { planes.append(packed(zeros, groups)) }
    let tensor = Tensor(
      name: "x", role: Role(.query, layer: 0), shape: [rows, columns], encoding: .affine(scheme),
      path: "test",
      planes: planes)
    return Sample(codes: codes, zeros: zeros, tensor: tensor)
  }

  @Test(arguments: schemes)
  func standsAsDescribedAndComesBack(_ scheme: ColumnPacked) throws {
    let (rows, columns, bits) = (Self.rows, Self.columns, scheme.bits)
    let affine = try #require(Affine(bits: bits, group: scheme.group, offset: scheme.offset, scale: .f16))
    let sample = Self.sample(affine)
    let packed = try #require(sample.tensor.columnPacked(scheme.layout))
    #expect(packed.encoding == .columnPacked(scheme) && packed.rowStep == rows)
    let planes = try packed.planes()
    let groups = scheme.groups(columns)
    let width = columns / groups
    #expect(planes.count == (scheme.layout == .awq ? 3 : 4))

    /// The value of `bits` bits at a bit position of a stream.
    func value(_ bytes: [UInt8], _ position: Int) -> Int {
      (0..<bits).reduce(0) { $0 | Int(bytes[(position + $1) / 8] >> UInt8((position + $1) % 8) & 1) << $1 }
    }
    let order = [0, 2, 4, 6, 1, 3, 5, 7]
    /// A code of a line of words along the rows.
    func across(_ plane: [UInt8], _ line: Int, _ row: Int) -> Int {
      let place = scheme.layout == .awq ? row / 8 * 8 + order.firstIndex(of: row % 8)! : row
      return value(plane, line * rows * bits + place * bits)
    }
    let (qweight, qzeros) = (planes[0].array, planes[1].array)
    let stored = scheme.layout == .gptq ? 1 : 0
    for row in 0..<rows {
      // Column o of qweight, word after word.
      let stream = (0..<columns * bits / 32).flatMap { word -> ArraySlice<UInt8> in
        let start = (word * rows + row) * 4
        return scheme.layout == .awq ? [] : qweight[start..<start + 4]
      }
      for column in 0..<columns {
        let found =
          scheme.layout == .awq ? across(qweight, column, row) : value(Array(stream), column * bits)
        #expect(found == Int(sample.codes[row * columns + column]), "\(scheme) [\(row), \(column)]")
      }
      for group in 0..<groups {
        #expect(
          across(qzeros, group, row) == Int(sample.zeros[row * groups + group]) - stored,
          "\(scheme) zero \(row)")
      }
    }
    if scheme.layout != .awq {
      let plane = planes[3]
      let indices = (0..<columns).map { Int(plane.span.littleEndian(Int32.self, at: 4 * $0)) }
      #expect(indices == (0..<columns).map { $0 / width })
    }
    #expect(try packed.floats() == sample.tensor.floats(), "\(scheme): the same values")
    let back = try #require(packed.rowPacked)
    #expect(back.encoding == sample.tensor.encoding)
    #expect(
      try back.planes().map(\.array) == sample.tensor.planes().map(\.array), "\(scheme): the same bytes")
  }

  @Test func aZeroOfZeroIsNoneOfTheFirstLayout() throws {
    let affine = Affine(bits: 4, group: 32, offset: .zeroPoint, scale: .f16)!
    let tensor = Self.sample(affine, lowestZero: 0).tensor
    let error = #expect(throws: FormatError.self) { try tensor.columnPacked(.gptq)!.planes() }
    #expect(
      error?.tensor == "x" && error?.description.contains("found 0") ?? false, "\(String(describing: error))")
    let second = try #require(tensor.columnPacked(.gptqV2))
    #expect(try second.rowPacked!.planes().map(\.array) == tensor.planes().map(\.array))
  }

  @Test func activationOrderDecodesByItsIndices() throws {
    let scheme = ColumnPacked(
      layout: .gptqV2, bits: 4, group: 32, offset: .zeroPoint, scale: .f16, activationOrder: true)!
    let sample = Self.sample(Affine(bits: 4, group: 32, offset: .zeroPoint, scale: .f16)!, lowestZero: 0)
    var planes = try sample.tensor.columnPacked(.gptqV2)!.planes()
    // Columns take turns in the groups.
    planes[3] = Bytes((0..<Self.columns).flatMap { [UInt8($0 % 3), 0, 0, 0] })
    let tensor = Tensor(
      name: "x", role: Role(.query, layer: 0), shape: [Self.rows, Self.columns],
      encoding: .columnPacked(scheme),
      path: "test", planes: planes)
    let scales = try sample.tensor.planes()[1].array
    let values = try tensor.floats()
    for row in [0, 1, 63] {
      for column in [0, 1, 2, 50, 95] {
        let group = row * 3 + column % 3
        let scale = Float(Float16(bitPattern: UInt16(scales[2 * group]) | UInt16(scales[2 * group + 1]) << 8))
        let steps = Int(sample.codes[row * Self.columns + column]) - Int(sample.zeros[group])
        #expect(values[row * Self.columns + column] == scale * Float(steps), "[\(row), \(column)]")
      }
    }
    #expect(tensor.rowPacked == nil)
  }

  @Test func shapesMustFillTheirWords() {
    let scheme = ColumnPacked(layout: .gptq, bits: 3, group: 32, offset: .symmetric, scale: .f16)!
    #expect(scheme.stored(rows: 32, columns: 64)?.map(\.shape) == [[6, 32], [2, 3], [2, 32], [64]])
    #expect(scheme.stored(rows: 16, columns: 64) == nil && scheme.stored(rows: 32, columns: 48) == nil)
    let awq = ColumnPacked(layout: .awq, bits: 4, group: 128, offset: .zeroPoint, scale: .f16)!
    #expect(awq.stored(rows: 8, columns: 128)?.map(\.shape) == [[128, 1], [1, 1], [1, 8]])
    #expect(awq.stored(rows: 8, columns: 64) == nil && awq.stored(rows: 4, columns: 128) == nil)
    #expect(Encoding.columnPacked(scheme).planes([Int.max, Int.max]) == nil)
    #expect(ColumnPacked(layout: .awq, bits: 3, group: 32, offset: .zeroPoint, scale: .f16) == nil)
    #expect(ColumnPacked(layout: .gptq, bits: 5, group: 32, offset: .zeroPoint, scale: .f16) == nil)
    #expect(ColumnPacked(layout: .gptq, bits: 4, group: 32, offset: .bias, scale: .f16) == nil)
  }
}
