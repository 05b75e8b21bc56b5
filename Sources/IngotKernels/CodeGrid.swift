import CIngotKernels

/// Where the codes of some rows may lie: a value v of a code stands for d · scale · (v − zero) + m · minimum.
///
/// Arrays are transposed, (supers, stride) or (parts, stride), so that kernels have a row in each lane.
public struct CodeGrid: Sendable {
  /// Rows, and rows rounded up to whole vectors.
  public let rows: Int
  public let stride: Int
  public let columns: Int
  /// Columns that share a scale, and columns that share d and m.
  public var part: Int
  public var superPart: Int
  /// (supers, stride)
  public var d: [Float]
  /// (supers, stride), or empty for none.
  public var m: [Float] = []
  /// (parts, stride): multiples of d, or empty for ones.
  public var scales: [Float] = []
  /// (parts, stride): multiples of m, or empty for ones.
  public var minima: [Float] = []
  /// (parts, stride), or empty for zeros.
  public var zeros: [Float] = []
  /// Values are the integers of this range, or `table`.
  public var values: ClosedRange<Int>
  /// Rising values, or empty.
  public var table: [Int8] = []
  /// Type of d and m.
  public var storage = FloatFormat.f32
  /// Whether d and m stay as they are, but for `hasPowers`.
  public var isFixed = false
  /// Whether d, being fixed otherwise, may be doubled or halved.
  public var hasPowers = false
  /// Multiples that a scale may be; nil for none.
  public var multiples: ClosedRange<Int>?
  public var leastMinimum = 0
  /// The type of GGML whose points the values of eight columns are together; 0 for values that are chosen one by one.
  public private(set) var lattice = 0

  /// A grid of d alone, which is 0.
  public init(rows: Int, columns: Int, part: Int, superPart: Int? = nil, values: ClosedRange<Int>) {
    precondition(part > 0 && (superPart ?? part) % part == 0, "supers consist of parts")
    self.rows = rows
    stride = (rows + 15) / 16 * 16
    self.columns = columns
    self.part = part
    self.superPart = superPart ?? part
    self.values = values
    d = [Float](repeating: 0, count: (columns + self.superPart - 1) / self.superPart * stride)
  }

  public var parts: Int { (columns + part - 1) / part }
  public var supers: Int { (columns + superPart - 1) / superPart }

  /// A value v of a code in this place stands for step · (v − zero) + bias.
  func meaning(_ column: Int, _ row: Int) -> (step: Float, zero: Float, bias: Float) {
    let (part, top) = (column / part * stride + row, column / superPart * stride + row)
    return (
      scales.isEmpty ? d[top] : d[top] * scales[part], zeros.isEmpty ? 0 : zeros[part],
      m.isEmpty ? 0 : minima.isEmpty ? m[top] : m[top] * minima[part]
    )
  }

  /// What a code of this value stands for.
  func weight(_ value: Float, _ column: Int, _ row: Int) -> Float {
    let (step, zero, bias) = meaning(column, row)
    return step * (value - zero) + bias
  }

  /// Neighbouring grids of a part that a search tries, the part's own first.
  var moves: [ingot_grid_move] {
    func move(step: Float = 1, zero: Float = 0, scale: Float = 0, minimum: Float = 0) -> ingot_grid_move {
      ingot_grid_move(step: step, zero: zero, scale: scale, minimum: minimum)
    }
    if lattice != 0 {
      let sides = zeros.isEmpty ? [Float(0)] : [0, 1]
      return sides.flatMap { side in [0, 2, -2].map { move(zero: side, scale: $0) } }
    }
    if multiples != nil {
      let scales = [move(), move(scale: 1), move(scale: -1)]
      return m.isEmpty
        ? scales
        : scales + [
          move(minimum: 1), move(minimum: -1), move(scale: 1, minimum: -1), move(scale: -1, minimum: 1),
        ]
    }
    if isFixed { return hasPowers ? [move(), move(step: 2), move(step: 0.5)] : [move()] }
    let steps = [1, 0.94, 0.97, 1.03, 1.06].map { move(step: $0) }
    return zeros.isEmpty ? steps : steps + [move(zero: 1), move(zero: -1)]
  }

  /// Columns whose codes are chosen together.
  public var together: Int { lattice == 0 ? 1 : 8 }

  /// Whether columns that share d and m are few enough for the descent's kernel.
  var canDescend: Bool { superPart <= 256 }

  /// Gives the kernels' view of the grid, which may change d, m and multiples.
  @unsafe
  mutating func withNative<R>(_ body: (UnsafePointer<ingot_grid>) -> R) -> R {
    precondition(d.count == supers * stride && (m.isEmpty || m.count == d.count), "(supers, stride)")
    precondition(
      [scales, minima, zeros].allSatisfy { $0.isEmpty || $0.count == parts * stride }, "(parts, stride)")
    precondition(multiples == nil || !scales.isEmpty && (m.isEmpty || !minima.isEmpty), "multiples to move")
    func pointer(_ buffer: UnsafeMutableBufferPointer<Float>) -> UnsafeMutablePointer<Float>? {
      buffer.isEmpty ? nil : buffer.baseAddress
    }
    var native = unsafe ingot_grid()
    unsafe native.rows = stride
    unsafe native.columns = columns
    unsafe native.part = part
    unsafe native.super = superPart
    unsafe native.low = Float(values.lowerBound)
    unsafe native.high = Float(values.upperBound)
    unsafe native.entries = Int32(table.count)
    unsafe native.storage = storage.native
    unsafe native.fixed = isFixed
    unsafe native.least = Float(multiples?.lowerBound ?? 0)
    unsafe native.most = Float(multiples?.upperBound ?? 0)
    unsafe native.minima_least = Float(leastMinimum)
    unsafe native.lattice = Int32(lattice)
    return unsafe d.withUnsafeMutableBufferPointer { d in
      unsafe m.withUnsafeMutableBufferPointer { m in
        unsafe scales.withUnsafeMutableBufferPointer { scales in
          unsafe minima.withUnsafeMutableBufferPointer { minima in
            unsafe zeros.withUnsafeMutableBufferPointer { zeros in
              unsafe table.withUnsafeBufferPointer { table in
                unsafe native.d = d.baseAddress
                unsafe native.m = pointer(m)
                unsafe native.scales = pointer(scales)
                unsafe native.minima = pointer(minima)
                unsafe native.zeros = pointer(zeros)
                unsafe native.table = table.isEmpty ? nil : table.baseAddress
                return unsafe body(&native)
              }
            }
          }
        }
      }
    }
  }
}

extension CodeGrid {
  /// The grid of rows of GGML blocks.
  ///
  /// - Precondition: `type` is known; `blocks` holds `rows` rows of whole blocks.
  public init(ggml type: Int, _ blocks: RawSpan, rows: Int, columns: Int) {
    let shape = unsafe ingot_ggml_grid_of(ingot_ggml(UInt32(type)))
    unsafe self.init(
      rows: rows, columns: columns, part: shape.part, superPart: shape.super,
      values: Int(shape.low)...Int(shape.high))
    unsafe isFixed = shape.fixed
    // MXFP4 is the only type of GGML's whose scales are powers of two.
    hasPowers = isFixed
    storage = .f16
    if unsafe shape.lattice { lattice = type }
    if unsafe shape.has_zeros { zeros = [Float](repeating: 0, count: parts * stride) }
    if unsafe shape.has_minima { m = [Float](repeating: 0, count: d.count) }
    unsafe table = (0..<Int(shape.entries)).map { unsafe shape.table[$0] }
    if unsafe shape.least < shape.most {
      unsafe multiples = Int(shape.least)...Int(shape.most)
      scales = [Float](repeating: 0, count: parts * stride)
      if unsafe shape.has_minima {
        minima = scales
        unsafe leastMinimum = Int(shape.minima_least)
      }
    }
    unsafe withNative { native in
      unsafe blocks.withUnsafeBytes { blocks in
        guard let bytes = blocks.baseAddress else { return }
        unsafe ingot_ggml_take_apart(
          ingot_ggml(UInt32(type)), bytes.assumingMemoryBound(to: UInt8.self), rows, columns,
          native.pointee.rows,
          native.pointee.d, native.pointee.m, native.pointee.scales, native.pointee.minima,
          native.pointee.zeros)
      }
    }
  }

  /// Rows of GGML blocks from the grid and values of codes (columns, stride).
  public mutating func ggml(type: Int, _ values: [Float], into blocks: inout MutableRawSpan) {
    let shape = unsafe ingot_ggml_grid_of(ingot_ggml(UInt32(type)))
    let bytes = ggmlBlock(type: type)!.bytes
    precondition(values.count == columns * stride, "(columns, stride)")
    precondition(unsafe blocks.byteCount == rows * columns / shape.super * bytes, "room for the blocks")
    let (rows, columns) = (rows, columns)
    unsafe withNative { native in
      unsafe blocks.withUnsafeMutableBytes { blocks in
        unsafe values.withUnsafeBufferPointer { values in
          guard let bytes = blocks.baseAddress else { return }
          unsafe ingot_ggml_put_together(
            ingot_ggml(UInt32(type)), rows, columns, native.pointee.rows, native.pointee.d, native.pointee.m,
            native.pointee.scales, native.pointee.minima, native.pointee.zeros, values.baseAddress!,
            bytes.assumingMemoryBound(to: UInt8.self))
        }
      }
    }
  }
}
