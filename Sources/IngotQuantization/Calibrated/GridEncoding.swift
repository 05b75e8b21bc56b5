import IngotKernels
import IngotSystem
import IngotTensors

extension Encoding {
  /// Whether GPTQ can fill this encoding: it has a grid, or a search of its own. Eight bits are not worth it.
  var hasCodeGrid: Bool {
    switch self {
    case .affine(let scheme): scheme.bits < 8
    case .microScaled(let scheme): scheme.code == .f4 && scheme.global != .factor
    case .ggml(let type): type != .q80 && type.isWritable
    case .trellis, .tiles: true
    case .dense, .blockScaled, .columnPacked: false
    }
  }

  /// Columns whose codes GPTQ has to choose together.
  var columnsTogether: Int {
    guard case .ggml(let type) = self else { return 1 }
    return type.isLattice ? 8 : 1
  }

  /// The grid on which codes in these planes lie.
  func grid(_ planes: [Bytes], rows: Int, columns: Int) -> CodeGrid {
    switch self {
    case .affine(let scheme): scheme.grid(planes, rows: rows, columns: columns)
    case .microScaled(let scheme): scheme.grid(planes, rows: rows, columns: columns)
    case .ggml(let type): type.grid(planes[0], rows: rows, columns: columns)
    case .dense, .blockScaled, .columnPacked, .trellis, .tiles: preconditionFailure("\(self) has no grid")
    }
  }

  /// Planes of codes with these values on the grid, which came from `planes`.
  func planes(_ grid: CodeGrid, _ values: [Float], from planes: [Bytes]) -> [Bytes] {
    var grid = grid
    switch self {
    case .affine(let scheme):
      let codes = [
        Quantizer.packed(grid.codes(values, scheme.codeOfZero), bits: scheme.bits, rows: grid.rows)
      ]
      let scales = grid.rowMajor(grid.d, scheme.scale)
      switch scheme.offset {
      case .symmetric: return codes + [scales]
      case .zeroPoint: return codes + [scales, grid.packedZeros(bits: scheme.bits)]
      case .bias: return codes + [scales, grid.rowMajor(grid.m, scheme.scale)]
      }
    case .microScaled(let scheme):
      let codes = grid.codes(values.map { Float(MicroScaled.code(ofDoubled: Int($0))) }, 0)
      let packed = Quantizer.packed(codes, bits: 4, rows: grid.rows)
      return scheme.scale == .f8e8m0 ? [packed, grid.exponents()] : [packed] + planes.dropFirst()
    case .ggml(let type):
      let count = grid.rows * grid.columns / type.blockWeights * type.blockBytes
      return [Bytes(count: count) { grid.ggml(type: Int(type.rawValue), values, into: &$0) }]
    case .dense, .blockScaled, .columnPacked, .trellis, .tiles: preconditionFailure("\(self) has no grid")
    }
  }
}

extension Affine {
  /// The code that stands for the value 0 of a grid.
  fileprivate var codeOfZero: Int { offset == .symmetric ? 1 << (bits - 1) : 0 }

  fileprivate func grid(_ planes: [Bytes], rows: Int, columns: Int) -> CodeGrid {
    let width = group ?? max(columns, 1)
    var grid = CodeGrid(
      rows: rows, columns: columns, part: width, values: -codeOfZero...(1 << bits) - 1 - codeOfZero)
    grid.storage = scale.floatFormat!
    grid.d = grid.transposed(floats(planes[1]))
    switch offset {
    case .symmetric: break
    case .bias: grid.m = grid.transposed(floats(planes[2]))
    case .zeroPoint:
      let groups = grid.parts
      let bytes = (groups * bits + 7) / 8
      var zeros: [Float] = []
      var codes = [UInt8](repeating: 0, count: groups)
      for row in 0..<rows {
        let line = planes[2][row * bytes..<(row + 1) * bytes]
        var span = codes.mutableSpan
        unpack(bits: bits, line.span, into: &span)
        zeros += codes.map { Float($0) }
      }
      grid.zeros = grid.transposed(zeros)
    }
    return grid
  }

  private func floats(_ plane: Bytes) -> [Float] {
    var values = [Float](repeating: 0, count: plane.count * 8 / scale.bits)
    var span = values.mutableSpan
    decode(scale.floatFormat!, plane.span, into: &span)
    return values
  }
}

extension GGMLType {
  fileprivate func grid(_ blocks: Bytes, rows: Int, columns: Int) -> CodeGrid {
    CodeGrid(ggml: Int(rawValue), blocks.span, rows: rows, columns: columns)
  }
}

extension MicroScaled {
  /// Values of E2M1, doubled, in rising order.
  private static let doubled: [Int8] = [-12, -8, -6, -4, -3, -2, -1, 0, 1, 2, 3, 4, 6, 8, 12]

  fileprivate static func code(ofDoubled value: Int) -> Int {
    let magnitudes = [0, 1, 2, 3, 4, 6, 8, 12]
    return magnitudes.firstIndex(of: abs(value))! + (value < 0 ? 8 : 0)
  }

  fileprivate func grid(_ planes: [Bytes], rows: Int, columns: Int) -> CodeGrid {
    var grid = CodeGrid(rows: rows, columns: columns, part: group, values: -12...12)
    grid.table = MicroScaled.doubled
    grid.isFixed = true
    grid.hasPowers = scale == .f8e8m0
    grid.d = grid.transposed(scales(planes, rows * groups(columns)).map { $0 / 2 })
    return grid
  }
}

extension CodeGrid {
  /// (groups, stride) of (rows, groups).
  fileprivate func transposed(_ values: [Float]) -> [Float] {
    let groups = rows == 0 ? 0 : values.count / rows
    var out = [Float](repeating: 0, count: groups * stride)
    for row in 0..<rows {
      for group in 0..<groups { out[group * stride + row] = values[row * groups + group] }
    }
    return out
  }

  /// (rows, groups) of (groups, stride), stored as `type`.
  fileprivate func rowMajor(_ values: [Float], _ type: DType) -> Bytes {
    let groups = values.count / max(stride, 1)
    var out = [Float](repeating: 0, count: groups * rows)
    for row in 0..<rows {
      for group in 0..<groups { out[row * groups + group] = values[group * stride + row] }
    }
    return Bytes(count: out.count * type.bits / 8) { encode(type.floatFormat!, out.span, into: &$0) }
  }

  /// (rows, groups), each row a bit stream that ends on a byte.
  fileprivate func packedZeros(bits: Int) -> Bytes {
    var codes = [UInt8](repeating: 0, count: rows * parts)
    for row in 0..<rows {
      for group in 0..<parts { codes[row * parts + group] = UInt8(zeros[group * stride + row]) }
    }
    return Quantizer.packed(codes, bits: bits, rows: rows)
  }

  /// E8M0 of the doubled steps: (rows, groups).
  fileprivate func exponents() -> Bytes {
    var bytes = [UInt8](repeating: 0, count: rows * parts)
    for row in 0..<rows {
      for group in 0..<parts {
        bytes[row * parts + group] = UInt8(clamping: Int((2 * d[group * stride + row]).exponent) + 127)
      }
    }
    return Bytes(bytes)
  }

  /// Codes (rows, columns) of values (columns, stride).
  fileprivate func codes(_ values: [Float], _ zero: Int) -> [UInt8] {
    var codes = [UInt8](repeating: 0, count: rows * columns)
    var out = codes.mutableSpan
    for column in 0..<columns {
      for row in 0..<rows { out[row * columns + column] = UInt8(Int(values[column * stride + row]) + zero) }
    }
    return codes
  }
}
