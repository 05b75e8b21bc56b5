import IngotKernels
import IngotSystem
import IngotTensors
import Testing

/// Sizes of planes, and values out of planes.
@Suite struct EncodingTests {
  /// Every affine encoding, block scales of several sizes, and every dense type.
  static let encodings: [Encoding] = {
    var all = DType.allCases.map { Encoding.dense($0) }
    for bits in Affine.widths {
      for group in [16, 32, 48, 64, 128, nil] {
        for offset in Affine.Offset.allCases {
          for scale in [DType.f16, .bf16, .f32] {
            all.append(.affine(Affine(bits: bits, group: group, offset: offset, scale: scale)!))
          }
        }
      }
    }
    for code in [DType.f8e4m3, .f8e5m2] {
      for scale in [DType.f16, .bf16, .f32] {
        for (rows, columns) in [(1, 1), (3, 5), (16, 16), (128, 128)] {
          all.append(
            .blockScaled(BlockScaled(code: code, scale: scale, blockRows: rows, blockColumns: columns)!))
        }
      }
    }
    for code in [DType.f4, .f8e4m3] {
      for scale in [DType.f8e8m0, .f8e4m3] {
        for group in [16, 32] {
          for global in MicroScaled.Global.allCases where global == .none || scale == .f8e4m3 {
            all.append(
              .microScaled(MicroScaled(code: code, group: group, scale: scale, global: global)!))
          }
        }
      }
    }
    return all
  }()

  @Test func planesHaveTheirBytes() throws {
    func bytes(_ encoding: Encoding, _ shape: [Int]) -> [Int]? { encoding.planes(shape)?.map(\.bytes) }
    let zero = Encoding.affine(Affine(bits: 3, group: 16, offset: .zeroPoint, scale: .f16)!)
    // 37 columns: 14 bytes of codes, 3 groups: 6 bytes of scales, 2 bytes of zeros a row.
    #expect(bytes(zero, [5, 37]) == [70, 30, 10])
    #expect(bytes(zero, [2, 3, 37]) == [84, 36, 12])
    let bias = Encoding.affine(Affine(bits: 5, group: nil, offset: .bias, scale: .f32)!)
    #expect(bytes(bias, [4, 13]) == [36, 16, 16])
    #expect(bytes(bias, []) == [1, 4, 4])
    #expect(bytes(bias, [7, 0]) == [0, 0, 0])
    let symmetric = Encoding.affine(Affine(bits: 8, group: 128, offset: .symmetric, scale: .bf16)!)
    #expect(bytes(symmetric, [3, 129]) == [387, 12])
    let block = Encoding.blockScaled(
      BlockScaled(code: .f8e4m3, scale: .f32, blockRows: 128, blockColumns: 128)!)
    #expect(bytes(block, [1536, 3072]) == [1536 * 3072, 12 * 24 * 4])
    #expect(bytes(block, [129, 1]) == [129, 8])
    #expect(bytes(block, [0, 8]) == [0, 0])
    #expect(bytes(.dense(.bf16), [3, 5]) == [30] && bytes(.dense(.f32), []) == [4])
    #expect(bytes(.dense(.f4), [3, 4]) == [6] && bytes(.dense(.f4), [3, 3]) == nil)
    #expect(bytes(.dense(.f6e2m3), [2, 4]) == [6] && bytes(.dense(.f6e3m2), [4, 2]) == nil)
    #expect(zero.bytes([5, 37]) == 110)
  }

  @Test func shapesThatOverflowHaveNoPlanes() {
    let shapes: [[Int]] = [
      [1 << 60, 1 << 60], [1 << 62, 4], [1 << 32, 1 << 31], [Int.max, 2], [1, Int.max, Int.max], [-1, 4],
      [4, -1],
    ]
    for encoding in Self.encodings {
      for shape in shapes {
        #expect(encoding.planes(shape) == nil, "\(encoding) \(shape)")
        #expect(encoding.bytes(shape) == nil, "\(encoding) \(shape)")
      }
    }
    // The product fits, its bytes do not.
    #expect(Encoding.dense(.f64).planes([1 << 30, 1 << 31]) == nil)
    #expect(Encoding.dense(.u8).planes([1 << 30, 1 << 31]) != nil)
    // Each plane fits, their sum does not.
    let bias = Encoding.affine(Affine(bits: 8, group: 16, offset: .bias, scale: .f32)!)
    #expect(bias.planes([1, Int.max / 8]) != nil)
    #expect(bias.bytes([1 << 30, 1 << 32]) == (1 << 62) + 2 * (1 << 60))
    #expect(bias.planes([3 << 30, 1 << 31]) != nil && bias.bytes([3 << 30, 1 << 31]) == nil)
  }

  /// Rows without columns take no bytes, so a file can claim any number of them: none is walked through.
  @Test func rowsWithoutColumnsCostNothing() throws {
    for encoding in Self.encodings {
      let tensor = Samples.tensor(encoding, [1 << 62, 0])
      #expect(tensor.bytes == 0 && tensor.rowChunks().isEmpty, "\(encoding)")
      if encoding.isDecodable { #expect(try tensor.floats().isEmpty, "\(encoding)") }
    }
  }

  @Test func schemesRefuseWhatTheyAreNot() {
    for bits in -1...9 {
      #expect(
        (Affine(bits: bits, group: 64, offset: .symmetric, scale: .f16) != nil)
          == Affine.widths.contains(bits), "\(bits)")
    }
    for group in [-16, 0, 1, 8, 15, 17, 24, 100, 129, 144, 256, Int.max] {
      #expect(Affine(bits: 4, group: group, offset: .bias, scale: .f32) == nil, "\(group)")
    }
    for group in stride(from: 16, through: 128, by: 16) {
      #expect(Affine(bits: 4, group: group, offset: .bias, scale: .f32) != nil, "\(group)")
    }
    for type in DType.allCases {
      let scale = [.f16, .bf16, .f32].contains(type)
      #expect((Affine(bits: 4, group: 32, offset: .zeroPoint, scale: type) != nil) == scale, "\(type)")
      #expect(
        (BlockScaled(code: .f8e4m3, scale: type, blockRows: 1, blockColumns: 1) != nil) == scale, "\(type)")
      let code = type == .f8e4m3 || type == .f8e5m2
      #expect((BlockScaled(code: type, scale: .f32, blockRows: 1, blockColumns: 1) != nil) == code, "\(type)")
    }
    for extent in [0, -1, 1 << 20 + 1, Int.max] {
      #expect(BlockScaled(code: .f8e4m3, scale: .f32, blockRows: extent, blockColumns: 1) == nil, "\(extent)")
      #expect(BlockScaled(code: .f8e4m3, scale: .f32, blockRows: 1, blockColumns: extent) == nil, "\(extent)")
    }
  }

  /// Names in plans and reports tell encodings apart.
  @Test func descriptionsAreUnique() {
    #expect(Set(Self.encodings.map(\.description)).count == Self.encodings.count)
    #expect(Self.encodings.count > 300)
  }

  /// Rows read alone, in any cut at a multiple of the row step, are the rows of the whole.
  @Test func rangesOfRowsAreTheRowsOfTheWhole() throws {
    for encoding in Self.encodings where encoding.isDecodable {
      let tensor = Samples.tensor(encoding, [2, 9, 72])
      let whole = try tensor.floats()
      #expect(whole.count == 18 * 72)
      let step = encoding.rowStep(rows: 18)
      for start in stride(from: 0, to: 18, by: step) {
        for end in [start, min(start + step, 18), 18] {
          let rows = start..<end
          #expect(
            try tensor.floats(rows: rows).map(\.bitPattern) == whole[start * 72..<end * 72].map(\.bitPattern),
            "\(encoding) \(rows)")
        }
      }
      for values in [1, 100, 300, 1 << 20] {
        let chunks = tensor.rowChunks(values: values)
        #expect(
          chunks.flatMap { Array($0) } == Array(0..<18) && chunks.allSatisfy { $0.lowerBound % step == 0 })
        #expect(
          try chunks.flatMap { try tensor.floats(rows: $0) }.map(\.bitPattern) == whole.map(\.bitPattern),
          "\(encoding)")
      }
    }
  }

  @Test func productsWithCodesAreThoseWithTheirValues() throws {
    let blocks = GGMLType.allCases.map { Encoding.ggml($0) }
    for encoding in Self.encodings + blocks where encoding.isDecodable {
      let rows = 18
      let columns = blocks.contains(encoding) ? 512 : 72
      let tensor = Samples.tensor(encoding, [rows, columns])
      let weights = try tensor.floats()
      for tokens in [1, 3, 9] {
        let x = (0..<tokens * columns).map { Float(($0 &* 2_654_435_761 >> 9) & 0xFF) / 64 - 2 }
        var wanted = [Float](repeating: .nan, count: tokens * rows)
        var wantedSpan = wanted.mutableSpan
        matmul(x.span, weights.span, tokens: tokens, inputs: columns, outputs: rows, into: &wantedSpan)
        var y = [Float](repeating: .nan, count: tokens * rows)
        var span = y.mutableSpan
        encoding.multiply(
          try tensor.planes(), rows: rows, columns: columns, by: x.span, tokens: tokens, into: &span)
        #expect(y.map(\.bitPattern) == wanted.map(\.bitPattern), "\(encoding), \(tokens) tokens")
      }
    }
  }

  /// The planes of chunks, put one after the other, are the planes.
  @Test func chunksOfPlanesAreThePlanes() throws {
    for encoding in Self.encodings {
      let tensor = Samples.tensor(encoding, [18, 72])
      let whole = try tensor.planes().map(\.array)
      var pieces = whole.map { _ in [UInt8]() }
      for rows in tensor.rowChunks(values: 200) {
        for (index, plane) in try tensor.planes(rows: rows).enumerated() { pieces[index] += plane.array }
      }
      #expect(pieces == whole, "\(encoding)")
      #expect(whole.reduce(0) { $0 + $1.count } == tensor.bytes, "\(encoding)")
    }
  }

  /// Values by the formulas of the specification, one by one.
  @Test func valuesAreTheFormulas() throws {
    let halves: [UInt8] = [0x00, 0x38, 0x00, 0xBC]  // F16: 0.5, -1
    let codes: [UInt8] = (0..<16).map { $0 | (15 - $0) << 4 } + (0..<2).map { $0 << 4 }  // 36 codes of 4 bits
    let u = codes.flatMap { [Int($0 & 15), Int($0 >> 4)] }
    func value(_ offset: Affine.Offset, _ third: [UInt8]) throws -> [Float] {
      let scheme = Affine(bits: 4, group: 32, offset: offset, scale: .f16)!
      return try Tensor(
        name: "t", role: Role(.head), shape: [1, 36], encoding: .affine(scheme), path: "memory",
        planes: [Bytes(codes), Bytes(halves)] + (third.isEmpty ? [] : [Bytes(third)])
      ).floats()
    }
    func scale(_ column: Int) -> Float { column < 32 ? 0.5 : -1 }
    #expect(try value(.symmetric, []) == (0..<36).map { scale($0) * Float(u[$0] - 8) })
    #expect(try value(.zeroPoint, [0x5D]) == (0..<36).map { scale($0) * Float(u[$0] - ($0 < 32 ? 13 : 5)) })
    // Biases 2 and -0.25.
    let biases: [UInt8] = [0x00, 0x40, 0x00, 0xB4]
    #expect(try value(.bias, biases) == (0..<36).map { scale($0) * Float(u[$0]) + ($0 < 32 ? 2 : -0.25) })
  }

  /// Micro-scaled values by the formulas, with every scale byte that is one.
  @Test func microScaledValuesAreTheFormulas() throws {
    let values: [Float] = [0, 0.5, 1, 1.5, 2, 3, 4, 6]
    let codes: [UInt8] = (0..<16).map { $0 | (15 - $0) << 4 } + [0x2F]  // 34 codes
    let u = codes.flatMap { [Int($0 & 15), Int($0 >> 4)] }
    func decode(_ scheme: MicroScaled, _ scales: [UInt8], _ global: [UInt8] = []) throws -> [Float] {
      try Tensor(
        name: "t", role: Role(.head), shape: [1, 34], encoding: .microScaled(scheme), path: "memory",
        planes: [Bytes(codes), Bytes(scales)] + (global.isEmpty ? [] : [Bytes(global)])
      ).floats()
    }
    func code(_ column: Int) -> Float { (u[column] < 8 ? 1 : -1) * values[u[column] & 7] }
    #expect(try decode(.mxfp4, [130, 0]) == (0..<34).map { code($0) * ($0 < 32 ? 8 : 0x1p-127) })
    #expect(try decode(.mxfp4, [1, 254]) == (0..<34).map { code($0) * ($0 < 32 ? 0x1p-126 : 0x1p127) })
    #expect(try decode(.mxfp4, [127, 255])[33].isNaN)
    // E4M3: 1.125, 0.015625, 448.
    let scales: [UInt8] = [0x39, 0x08, 0x7E]
    func scale(_ column: Int) -> Float { [1.125, 0.015625, 448][column / 16] }
    #expect(try decode(.nvfp4, scales) == (0..<34).map { code($0) * scale($0) })
    // Divided by 3: 0x40400000.
    #expect(
      try decode(.nvfp4Global, scales, [0, 0, 0x40, 0x40]) == (0..<34).map { code($0) * (scale($0) / 3) })
    #expect(
      try decode(.nvfp4Factor, scales, [0, 0, 0x40, 0x40]) == (0..<34).map { code($0) * (scale($0) * 3) })
    #expect(MicroScaled(code: .f4, group: 32, scale: .f8e8m0, global: .divisor) == nil)
    #expect(MicroScaled(code: .f8e5m2, group: 32, scale: .f8e8m0) == nil)
    #expect(MicroScaled(code: .f4, group: 64, scale: .f8e8m0) == nil)
    let names = ["mx-fp4", "mx-fp8", "nv-fp4", "nv-fp4 global", "mx-fp4 g16", "nv-fp8 g32 global"]
    #expect(names.map { MicroScaled(name: $0)?.description } == names)
    #expect(MicroScaled(name: "mx-fp4 g32") == nil && MicroScaled(name: "mx-fp4 global") == nil)
  }

  @Test func tensorsThatAreNoNumbersAreNotDecoded() throws {
    for type in DType.allCases where !type.isDecodable {
      let tensor = Samples.tensor(.dense(type), [2, 8])
      let error = #expect(throws: FormatError.self, "\(type)") { try tensor.floats() }
      #expect(error?.tensor == "sample" && error?.path == "memory")
    }
  }
}

/// Tensors of bytes that follow from their index.
enum Samples {
  static func tensor(_ encoding: Encoding, _ shape: [Int]) -> Tensor {
    let planes = encoding.planes(shape)!.enumerated().map { index, plane in
      // Bytes below 0x78 are finite in every float type.
      Bytes(
        (0..<plane.bytes).map { UInt8(truncatingIfNeeded: ($0 &* 2_654_435_761 >> 7) &+ index &* 31) & 0x3B })
    }
    return Tensor(
      name: "sample", role: Role(.unknown, name: "sample"), shape: shape, encoding: encoding, path: "memory",
      planes: planes)
  }
}
