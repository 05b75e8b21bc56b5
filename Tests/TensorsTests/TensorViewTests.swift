import IngotSystem
import IngotTensors
import Testing

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Views of tensors against plain loops over decoded values and over bytes.
@Suite struct TensorViewTests {
  /// Every encoding that keeps rows apart, with a number of columns that fits it.
  static let encodings: [(encoding: Encoding, columns: Int)] =
    EncodingTests.encodings.map { ($0, 136) } + GGMLType.allCases.map { (.ggml($0), 2 * $0.blockWeights) }

  /// A selection and its rows, written out.
  typealias Selected = (selection: RowSelection, rows: [Int])

  /// Selections from 20 rows.
  static let selections: [Selected] = [
    (.range(0..<20), Array(0..<20)), (.range(3..<11), Array(3..<11)), (.range(0..<7), Array(0..<7)),
    (.range(16..<20), Array(16..<20)), (.range(17..<18), [17]), (.range(5..<5), []),
    (.strided(from: 0, by: 2, count: 10), Array(stride(from: 0, to: 20, by: 2))),
    (.strided(from: 1, by: 2, count: 10), Array(stride(from: 1, to: 20, by: 2))),
    (.strided(from: 1, by: 9, count: 3), [1, 10, 19]),
    (
      .concatenating([.range(12..<20), .strided(from: 4, by: 3, count: 2), .range(0..<3)]),
      Array(12..<20) + [4, 7, 0, 1, 2]
    ),
    (.entries([19, 0, 1, 2, 7, 7, 3]), [19, 0, 1, 2, 7, 7, 3]),
    (
      .heads(5, headRows: 4, rotated: 4, to: .interleaved),
      (0..<5).flatMap { head in [0, 2, 1, 3].map { 4 * head + $0 } }
    ),
    (
      .heads(2, headRows: 10, rotated: 8, to: .halves),
      (0..<2).flatMap { head in [0, 2, 4, 6, 1, 3, 5, 7, 8, 9].map { 10 * head + $0 } }
    ),
  ]

  /// The same tensor as it lies in memory, made from sources, and loaded in steps or as a whole.
  static func variants(_ encoding: Encoding, _ shape: [Int]) -> [Tensor] {
    let stored = Samples.tensor(encoding, shape)
    let step = encoding.rowStep(rows: stored.rows)
    func loading(_ rowStep: Int) -> Tensor {
      Tensor(
        name: "sample", role: stored.role, shape: shape, encoding: encoding, path: "memory", rowStep: rowStep
      ) { rows throws(FormatError) in try stored.planes(rows: rows) }
    }
    let mapped = stored.mapped(to: encoding) { _, planes throws(FormatError) in planes }
    return [stored, mapped, loading(3 * step), loading(max(stored.rows, step))]
  }

  /// Values, or the bytes of those that are no numbers, row by row.
  private func lines(_ tensor: Tensor) throws -> [[UInt32]] {
    let values =
      tensor.encoding.isDecodable
      ? try tensor.floats().map(\.bitPattern) : try tensor.planes()[0].array.map(UInt32.init)
    let width = tensor.rows == 0 ? 0 : values.count / tensor.rows
    return (0..<tensor.rows).map { Array(values[$0 * width..<($0 + 1) * width]) }
  }

  /// Pieces of `width` bytes, in the order of `indices`.
  private func pieces(_ bytes: [UInt8], _ width: Int, _ indices: [Int]) -> [UInt8] {
    var result: [UInt8] = []
    for index in indices { result += bytes[index * width..<(index + 1) * width] }
    return result
  }

  /// Chunks, and planes from copies of sources, are the planes of the whole.
  private func expectLazy(_ tensor: Tensor) throws {
    let whole = try tensor.planes().map(\.array)
    #expect(whole.reduce(0) { $0 + $1.count } == tensor.bytes, "\(tensor.encoding) \(tensor.shape)")
    let layout = try #require(tensor.encoding.planes(tensor.shape))
    for values in [1, 500] {
      var pieces = layout.map { _ in [UInt8]() }
      for rows in tensor.rowChunks(values: values) {
        let perturbedRuns = tensor.sources(rows: rows).map { Bytes($0.array) }
        let planes = try tensor.planes(rows: rows, from: perturbedRuns)
        for (index, plane) in planes.enumerated() {
          #expect(plane.count == layout[index].range(rows: rows).count)
          pieces[index] += plane.array
        }
      }
      #expect(pieces == whole, "\(tensor.encoding) \(tensor.shape) in chunks of \(values)")
    }
  }

  @Test func rowsAreThoseOfTheSource() throws {
    for (encoding, columns) in Self.encodings {
      let source = try lines(Samples.tensor(encoding, [20, columns]))
      for (number, tensor) in Self.variants(encoding, [20, columns]).enumerated() {
        for (selection, rows) in Self.selections {
          let view = try tensor.selectingRows(selection, name: "part", role: Role(.gate, layer: 1))
          #expect(view.shape == [rows.count, columns] && view.name == "part" && view.role.kind == .gate)
          let viewLines = try lines(view)
          #expect(viewLines == rows.map { source[$0] }, "\(encoding) variant \(number) \(rows)")
          if number == 0 || rows.count == 13 { try expectLazy(view) }
        }
      }
    }
  }

  /// Planes with a line a row are copied line by line, and global scales as they are.
  @Test func bytesOfRowsStayAsTheyAre() throws {
    for (encoding, columns) in Self.encodings {
      let tensor = Samples.tensor(encoding, [20, columns])
      let layout = encoding.planes([20, columns])!
      let planes = try tensor.planes().map(\.array)
      for (selection, rows) in Self.selections {
        let view = try tensor.selectingRows(selection)
        if case .blockScaled(let scheme) = encoding, scheme.blockRows > 1 {
        } else {
          #expect(view.encoding == encoding)
        }
        for (index, plane) in try view.planes().enumerated() {
          let width = layout[index].bytesPerRow
          if layout[index].step == 1 {
            #expect(
              plane.array == pieces(planes[index], width, rows), "\(encoding)")
          } else if layout[index].name == "global" {
            #expect(plane.array == (rows.isEmpty ? [] : planes[index]))
          }
        }
      }
    }
  }

  /// Blocks keep their rows where that is possible, and get as few as the selection needs elsewhere.
  @Test func blocksShrinkOnlyWhereTheyMust() throws {
    let scheme = BlockScaled(code: .f8e4m3, scale: .bf16, blockRows: 8, blockColumns: 5)!
    let tensor = Samples.tensor(.blockScaled(scheme), [45, 12])
    let expected: [(RowSelection, blockRows: Int)] = [
      (.range(0..<45), 8), (.range(8..<24), 8), (.range(8..<45), 8), (.range(16..<21), 8),
      (.range(9..<15), 8),
      (.range(4..<28), 4), (.range(6..<45), 2), (.range(3..<20), 1),
      (.strided(from: 0, by: 2, count: 22), 4), (.strided(from: 1, by: 2, count: 22), 4),
      (.concatenating([.range(24..<40), .range(0..<8)]), 8),
      (.concatenating([.range(0..<4), .range(8..<16)]), 4),
      (.heads(2, headRows: 8, rotated: 4, to: .interleaved), 8),
      (.heads(1, headRows: 16, rotated: 16, to: .interleaved), 1),
    ]
    let source = try lines(tensor)
    for (selection, blockRows) in expected {
      let view = try tensor.selectingRows(selection)
      guard case .blockScaled(let target) = view.encoding else {
        Issue.record("\(view.encoding)")
        continue
      }
      #expect(target.blockRows == blockRows && target.blockColumns == 5, "\(selection)")
      #expect(try lines(view) == (0..<view.rows).map { source[selection[$0]] })
      try expectLazy(view)
    }
    // The scales of whole blocks are the same bytes.
    let part = try tensor.selectingRows(8..<45)
    let (scales, all) = try (part.planes()[1].array, tensor.planes()[1].array)
    #expect(scales == Array(all[6...]))
  }

  @Test func vectorsAndStacksSelectEntries() throws {
    for type in DType.allCases where type.bits % 8 == 0 {
      let width = type.bits / 8
      for vector in Self.variants(.dense(type), [20]) {
        let bytes = try vector.planes()[0].array
        for (selection, rows) in Self.selections {
          let view = try vector.selectingRows(selection)
          #expect(view.shape == [rows.count])
          #expect(
            try view.planes()[0].array == pieces(bytes, width, rows), "\(type)")
        }
      }
    }
    let stack = Samples.tensor(.dense(.bf16), [4, 3, 5])
    let bytes = try stack.planes()[0].array
    for (selection, entries) in [
      (RowSelection.entries([3, 1]), [3, 1]), (.strided(from: 0, by: 2, count: 2), [0, 2]),
    ] {
      let view = try stack.selectingRows(selection)
      #expect(view.shape == [2, 3, 5])
      #expect(try view.planes()[0].array == pieces(bytes, 30, entries))
      try expectLazy(view)
    }
    #expect(try stack.selecting([2, 0]).planes()[0].array == Array(bytes[60..<90] + bytes[0..<30]))
  }

  /// llama.cpp's permutation: `w.reshape(heads, 2, r / 2, columns).swapaxes(1, 2)`, and its inverse.
  @Test func headsArePermutedAsLlamaCppDoes() throws {
    let (heads, headRows, columns) = (3, 12, 4)
    let tensor = Samples.tensor(.dense(.f32), [heads * headRows, columns])
    let source = try lines(tensor)
    for rotated in [12, 8, 2, 0] {
      let view = try tensor.permutingHeads(to: .interleaved, heads: heads, rotated: rotated)
      var expected = source
      for head in 0..<heads {
        for pair in 0..<rotated / 2 {
          for half in 0..<2 {
            expected[head * headRows + 2 * pair + half] = source[head * headRows + half * rotated / 2 + pair]
          }
        }
      }
      #expect(try lines(view) == expected)
      #expect(try lines(view.permutingHeads(to: .halves, heads: heads, rotated: rotated)) == source)
    }
    #expect(try tensor.permutingHeads(to: .halves, heads: heads).rowStep == 1)
    let bias = Samples.tensor(.dense(.f16), [heads * headRows])
    let there = try bias.permutingHeads(to: .interleaved, heads: heads)
    let back = try there.permutingHeads(to: .halves, heads: heads)
    #expect(try there.planes()[0].array != bias.planes()[0].array)
    #expect(try back.planes()[0].array == bias.planes()[0].array)
    for (heads, rotated) in [(5, 2), (0, 2), (3, 14), (3, 5), (3, -2)] {
      let error = #expect(throws: FormatError.self) {
        try tensor.permutingHeads(to: .halves, heads: heads, rotated: rotated)
      }
      #expect(error?.tensor == "sample")
    }
  }

  /// Whether columns can be had in an encoding at all.
  private func fits(_ encoding: Encoding, _ range: Range<Int>) -> Bool {
    if range.isEmpty { return true }
    switch encoding {
    case .dense(let type): return range.lowerBound * type.bits % 8 == 0 && range.count * type.bits % 8 == 0
    case .affine(let scheme): return range.lowerBound % (scheme.group ?? 1) == 0
    case .microScaled(let scheme): return range.lowerBound % scheme.group == 0
    case .ggml(let type):
      return range.lowerBound % type.blockWeights == 0 && range.count % type.blockWeights == 0
    case .blockScaled: return true
    case .columnPacked, .trellis, .tiles: return false
    }
  }

  @Test func columnsAreThoseOfTheSource() throws {
    for (encoding, width) in Self.encodings {
      let columns = width == 136 ? 264 : 2 * width
      let source = Samples.tensor(encoding, [7, columns])
      let decoded = encoding.isDecodable ? try lines(source) : []
      for tensor in Self.variants(encoding, [7, columns]) {
        for range in [
          0..<columns, 0..<columns / 2, columns / 2..<columns, 0..<columns / 4, 16..<33, 96..<132, 48..<63,
          128..<150, 7..<9, 5..<6, 0..<0, 9..<9, columns..<columns,
        ] where range.upperBound <= columns {
          guard fits(encoding, range) else {
            let error = #expect(throws: FormatError.self, "\(encoding) \(range)") {
              try tensor.selectingColumns(range)
            }
            #expect(error?.tensor == "sample" && error?.found == "columns \(range)")
            continue
          }
          let view = try tensor.selectingColumns(range, name: "part")
          #expect(view.shape == [7, range.count] && view.name == "part" && view.rowStep == tensor.rowStep)
          if encoding.isDecodable {
            let viewLines = try lines(view)
            #expect(viewLines == decoded.map { Array($0[range]) }, "\(encoding) \(range)")
          }
          if range == 0..<columns { #expect(try view.planes().map(\.array) == source.planes().map(\.array)) }
          try expectLazy(view)
        }
      }
    }
  }

  /// Bits behind a row's last code are 0, and zero points are packed anew.
  @Test func cutRowsEndInZeroBits() throws {
    let scheme = Affine(bits: 3, group: 16, offset: .zeroPoint, scale: .f16)!
    let planes = [
      Bytes([UInt8](repeating: 255, count: 2 * 24)), Bytes([UInt8](repeating: 1, count: 2 * 8)),
      // Four zero points of 3 bits: 1, 2, 3, 4.
      Bytes([0b1101_0001, 0b1000, 0b1101_0001, 0b1000]),
    ]
    let tensor = Tensor(
      name: "x", role: Role(.head), shape: [2, 64], encoding: .affine(scheme), path: "memory", planes: planes)
    let view = try tensor.selectingColumns(16..<49).planes().map(\.array)
    let line = [UInt8](repeating: 255, count: 12) + [0b111]
    #expect(view[0] == line + line)
    // 2, 3, 4.
    #expect(view[2] == [0b0001_1010, 0b1, 0b0001_1010, 0b1])
  }

  @Test func columnsOfDenseTensorsInAnyOrder() throws {
    for type in DType.allCases where type.bits % 8 == 0 {
      let width = type.bits / 8
      for tensor in Self.variants(.dense(type), [5, 20]) {
        let bytes = try tensor.planes()[0].array
        for (selection, columns) in Self.selections {
          let view = try tensor.selectingColumns(selection)
          let cells: [Int] = (0..<5).flatMap { row in columns.map { column in 20 * row + column } }
          let expected = pieces(bytes, width, cells)
          #expect(try view.planes()[0].array == expected, "\(type) \(columns)")
          try expectLazy(view)
        }
      }
    }
  }

  @Test func transposedMatricesHaveRowsAsColumns() throws {
    for (encoding, _) in Self.encodings {
      for shape in [[20, 13], [1, 7], [33, 40], [0, 5], [4, 0]] where encoding.planes(shape) != nil {
        for tensor in Self.variants(encoding, shape) {
          var target = encoding
          if case .blockScaled(var scheme) = encoding {
            swap(&scheme.blockRows, &scheme.blockColumns)
            target = .blockScaled(scheme)
          } else if case .dense(let type) = encoding, type.bits % 8 == 0 {
          } else {
            let error = #expect(throws: FormatError.self) { try tensor.transposed() }
            #expect(error?.tensor == "sample" && error?.found == "\(encoding)")
            continue
          }
          let view = try tensor.transposed(name: "t")
          #expect(view.shape == [shape[1], shape[0]] && view.encoding == target && view.name == "t")
          try expectLazy(view)
          let (source, count) = (try tensor.planes()[0].array, tensor.count)
          let width = count == 0 ? 0 : source.count / count
          let cells: [Int] = (0..<shape[1]).flatMap { column in
            (0..<shape[0]).map { row in row * shape[1] + column }
          }
          let expected = pieces(source, width, cells)
          let plane = try view.planes()[0].array
          #expect(plane == expected, "\(encoding) \(shape)")
          if encoding.isDecodable {
            let lines = try lines(tensor)
            #expect(
              try self.lines(view) == (0..<shape[1]).map { column in lines.map { $0[column] } }, "\(encoding)"
            )
            // Its first rows alone.
            for rows in [1, 5] where rows <= view.rows {
              #expect(try view.floats(rows: 0..<rows) == Array(view.floats()[..<(rows * view.columns)]))
            }
          }
          #expect(try view.transposed().planes().map(\.array) == tensor.planes().map(\.array))
        }
      }
    }
    #expect(throws: FormatError.self) { try Samples.tensor(.dense(.f32), [2, 3, 4]).transposed() }
    #expect(throws: FormatError.self) { try Samples.tensor(.dense(.f32), [2]).transposed() }
  }

  @Test func stacksComeApart() throws {
    for (encoding, columns) in Self.encodings {
      let source = try lines(Samples.tensor(encoding, [3, 16, columns]))
      for tensor in Self.variants(encoding, [3, 16, columns]) {
        let slices = try tensor.slices(
          3, name: { "expert \($0)" }, role: { Role(.down, layer: 2, expert: $0) })
        #expect(slices.count == 3)
        for (index, slice) in slices.enumerated() {
          #expect(slice.shape == [16, columns] && slice.name == "expert \(index)")
          #expect(slice.role == Role(.down, layer: 2, expert: index))
          let sliceLines = try lines(slice)
          #expect(sliceLines == Array(source[index * 16..<(index + 1) * 16]), "\(encoding)")
          try expectLazy(slice)
        }
      }
    }
    let biases = Samples.tensor(.dense(.f32), [3, 5])
    let vectors = try biases.slices(3, name: { "\($0)" }, role: { _ in biases.role })
    #expect(vectors.map(\.shape) == [[5], [5], [5]])
    #expect(try vectors.flatMap { try $0.floats() } == biases.floats())
    #expect(vectors.map(\.offset) == [0, 20, 40])
    for tensor in [biases, Samples.tensor(.dense(.f32), [4])] {
      let error = #expect(throws: FormatError.self) {
        try tensor.slices(4, name: { "\($0)" }, role: { _ in tensor.role })
      }
      #expect(error?.expected == "a stack of 4 tensors")
    }
  }

  /// Rows that are cut apart and put together again are the same bytes.
  @Test func rowsFollowOneAnother() throws {
    for (encoding, columns) in Self.encodings {
      let block: Int
      if case .blockScaled(let scheme) = encoding { block = scheme.blockRows } else { block = 3 }
      let rows = 3 * block + 2
      for tensor in Self.variants(encoding, [rows, columns]) {
        let parts = try [0..<2 * block, 2 * block..<2 * block, 2 * block..<3 * block, 3 * block..<rows].map {
          try tensor.selectingRows($0)
        }
        let whole = try Tensor.concatenatingRows(parts, name: "whole", role: Role(.query, layer: 3))
        #expect(whole.shape == [rows, columns] && whole.name == "whole" && whole.role.kind == .query)
        #expect(whole.encoding == encoding)
        let planes = try whole.planes().map(\.array)
        let expected = try tensor.planes().map(\.array)
        #expect(planes == expected, "\(encoding)")
        try expectLazy(whole)
      }
    }
    let vector = Samples.tensor(.dense(.bf16), [9])
    let parts = try [0..<4, 4..<4, 4..<9].map { try vector.selectingRows($0) }
    let whole = try Tensor.concatenatingRows(parts, name: "bias", role: vector.role)
    #expect(try whole.shape == [9] && whole.planes()[0].array == vector.planes()[0].array)
    try expectLazy(whole)
  }

  @Test func whatCannotBeAViewIsAnError() throws {
    let role = Role(.query, layer: 0)
    func refused(_ body: () throws -> Tensor) -> String? {
      let error = #expect(throws: FormatError.self) { try body() }
      #expect(error?.path != nil && error?.tensor != nil)
      return error.map { "\($0.expected), \($0.found)" }
    }
    let affine = Affine(bits: 4, group: 32, offset: .zeroPoint, scale: .f16)!
    let rowPacked = ColumnPackedTests.sample(affine).tensor
    for layout in ColumnPacked.Layout.allCases {
      let packed = try #require(rowPacked.columnPacked(layout))
      #expect(
        refused { try packed.selectingRows(0..<32) }
          == "an encoding that keeps rows apart, \(packed.encoding)")
      _ = refused { try packed.selectingColumns(0..<32) }
      _ = refused { try packed.transposed() }
      _ = refused { try Tensor.concatenatingRows([packed, packed], name: "x", role: role) }
      // By way of rows apart it is possible.
      let rows = try #require(packed.rowPacked).selectingRows(.strided(from: 1, by: 2, count: 32))
      #expect(
        try rows.planes().map(\.array)
          == rowPacked.selectingRows(.strided(from: 1, by: 2, count: 32)).planes().map(\.array))
    }
    let dense = Samples.tensor(.dense(.bf16), [6, 4])
    #expect(refused { try dense.selectingRows(2..<7) } == "rows below 6, row 6")
    #expect(refused { try dense.selectingRows(-1..<2) } == "rows from 0, row -1")
    #expect(refused { try dense.selectingRows(.strided(from: 1, by: Int.max / 2, count: 4)) } != nil)
    #expect(refused { try dense.selectingColumns(2..<5) } == "columns of 4, columns 2..<5")
    #expect(refused { try dense.selectingColumns(.entries([4])) } == "columns below 4, column 4")
    let scalar = Samples.tensor(.dense(.f32), [])
    _ = refused { try scalar.selectingRows(0..<1) }
    _ = refused { try scalar.selectingColumns(0..<1) }
    _ = refused { try scalar.selecting([0]) }
    let vector = Samples.tensor(.affine(affine), [64])
    _ = refused { try vector.selectingRows(0..<32) }
    _ = refused { try Tensor.concatenatingRows([vector, vector], name: "x", role: role) }
    let affineMatrix = Samples.tensor(.affine(affine), [4, 64])
    _ = refused { try affineMatrix.selectingColumns(.strided(from: 0, by: 2, count: 32)) }
    #expect(throws: FormatError.self) {
      try affineMatrix.slices(4, name: { "\($0)" }, role: { _ in role })
    }
    let block = Encoding.blockScaled(
      BlockScaled(code: .f8e4m3, scale: .f32, blockRows: 4, blockColumns: 4)!)
    let (six, eight) = (Samples.tensor(block, [6, 4]), Samples.tensor(block, [8, 4]))
    #expect(
      refused { try Tensor.concatenatingRows([six, eight], name: "x", role: role) }
        == "a multiple of 4 rows, 6")
    #expect(try Tensor.concatenatingRows([eight, six], name: "x", role: role).rows == 14)
    _ = refused { try six.selecting([1, 5]) }
    _ = refused { try Tensor.concatenatingRows([dense, eight], name: "x", role: role) }
    _ = refused {
      try Tensor.concatenatingRows([dense, Samples.tensor(.dense(.bf16), [6, 5])], name: "x", role: role)
    }
  }

  @Test func globalScalesMustBeEqual() throws {
    let encoding = Encoding.microScaled(.nvfp4Global)
    let tensor = Samples.tensor(encoding, [3, 32])
    var planes = try tensor.planes()
    planes[2] = Bytes([0, 0, 0x80, 0x3F])
    let other = Tensor(
      name: "other", role: tensor.role, shape: [3, 32], encoding: encoding, path: "memory", planes: planes)
    let twice = try Tensor.concatenatingRows([other, other], name: "x", role: tensor.role)
    #expect(try twice.floats() == other.floats() + other.floats())
    let mixed = try Tensor.concatenatingRows([tensor, other], name: "x", role: tensor.role)
    let error = #expect(throws: FormatError.self) { try mixed.planes() }
    #expect(error?.tensor == "other" && error?.expected == "the global scale of 'sample'")
  }

  /// Gate and up of a stack of transposed, interleaved matrices, as some checkpoints store them.
  @Test func viewsOfViews() throws {
    let (experts, inputs, outputs) = (3, 10, 7)
    let fused = Samples.tensor(.dense(.bf16), [experts, inputs, 2 * outputs])
    let values = try fused.floats()
    let slices = try fused.slices(experts, name: { "\($0)" }, role: { Role(.gate, layer: 0, expert: $0) })
    for (expert, slice) in slices.enumerated() {
      for half in 0..<2 {
        func value(_ output: Int, _ input: Int, interleaved: Bool) -> Float {
          let column = interleaved ? 2 * output + half : half * outputs + output
          return values[(expert * inputs + input) * 2 * outputs + column]
        }
        let interleaved = RowSelection.strided(from: half, by: 2, count: outputs)
        for view in [
          try slice.selectingColumns(interleaved).transposed(),
          try slice.transposed().selectingRows(interleaved),
        ] {
          #expect(view.shape == [outputs, inputs])
          let expected = (0..<outputs).flatMap { output in
            (0..<inputs).map { value(output, $0, interleaved: true) }
          }
          #expect(try view.floats() == expected)
          try expectLazy(view)
        }
        let range = half * outputs..<(half + 1) * outputs
        let view = try slice.selectingColumns(range).transposed()
        let expected = (0..<outputs).flatMap { output in
          (0..<inputs).map { value(output, $0, interleaved: false) }
        }
        #expect(try view.floats() == expected)
      }
    }
  }

  /// Nothing is loaded before planes are asked for, and then only the ranges that hold the rows.
  @Test func sourcesAreFewSlicesOfTheFile() throws {
    let path = "/tmp/ingot-tensors-\(getpid())-views"
    defer { Folder.remove(path) }
    let (rows, columns) = (240, 16)
    let scheme = BlockScaled(code: .f8e4m3, scale: .f32, blockRows: 16, blockColumns: 16)!
    let file = try File(creating: path)
    try file.write([UInt8](repeating: 0x38, count: rows * columns + 4 * rows / 16), at: 0)
    let mapping = try Bytes.mapping(path)
    let codes = mapping[0..<rows * columns]
    let dense = Tensor(
      name: "x", role: Role(.query), shape: [rows, columns], encoding: .dense(.f8e4m3), path: path,
      planes: [codes])
    let block = Tensor(
      name: "x", role: Role(.query), shape: [rows, columns], encoding: .blockScaled(scheme), path: path,
      planes: [codes, mapping[codes.count..<mapping.count]])
    func ranges(_ tensor: Tensor, _ rows: Range<Int>? = nil) -> [Range<Int>] {
      tensor.sources(rows: rows ?? 0..<tensor.rows).compactMap { $0.place?.range }
    }
    let slice = try dense.selectingRows(30..<90)
    #expect(slice.offset == 480 && ranges(slice) == [480..<1440] && ranges(slice, 7..<9) == [592..<624])
    // The halves of interleaved rows ask for the same slices.
    let halves = try (0..<2).map { try dense.selectingRows(.strided(from: $0, by: 2, count: 120)) }
    for half in halves {
      #expect(half.rowStep == 1)
      #expect(ranges(half) == [0..<3840] && ranges(half, 10..<20) == [320..<640])
    }
    let heads = try dense.permutingHeads(to: .interleaved, heads: 3, rotated: 64)
    #expect(heads.rowStep == 1 && ranges(heads) == [0..<3840])
    // Rows 2…5 of the first head: 1, 33, 2, 34.
    #expect(ranges(heads, 2..<6) == [16..<48, 528..<560] && ranges(heads, 70..<75) == [1120..<1200])
    let turned = try dense.transposed()
    #expect(turned.rowStep == 16 && ranges(turned) == [0..<3840])
    // Blocks and their scales.
    let aligned = try block.selectingRows(32..<80)
    #expect(ranges(aligned) == [512..<1280, 3848..<3860] && aligned.rowStep == 16)
    let cut = try block.selectingRows(40..<100)
    #expect(
      cut.encoding == .blockScaled(BlockScaled(code: .f8e4m3, scale: .f32, blockRows: 8, blockColumns: 16)!))
    #expect(ranges(cut, 16..<32) == [768..<1152, 3852..<3860])
    let joined = try Tensor.concatenatingRows(
      [aligned, slice, dense].filter { $0.encoding == .dense(.f8e4m3) }, name: "y", role: Role(.query))
    #expect(ranges(joined, 50..<70) == [1280..<1440, 0..<160])
    let failing = Tensor(
      name: "x", role: Role(.query), shape: [4, 4], encoding: .dense(.f32), path: path
    ) { _ throws(FormatError) in throw FormatError(path: path, expected: "no load", found: "one") }
    let views = try [
      failing.selectingRows(.strided(from: 1, by: 2, count: 2)), failing.transposed(),
      failing.selectingColumns(1..<3),
      Tensor.concatenatingRows([failing, failing], name: "y", role: Role(.query)),
    ]
    for view in views {
      let error = #expect(throws: FormatError.self) { try view.planes() }
      #expect(error?.expected == "no load")
    }
  }

  /// Rows without columns take no bytes, so a file can claim any number of them.
  @Test func rowsWithoutColumnsCostNothing() throws {
    for (encoding, _) in Self.encodings {
      let tensor = Samples.tensor(encoding, [1 << 61, 0])
      for selection in [
        RowSelection.range(1..<1 << 60), .strided(from: 1, by: 2, count: 1 << 60),
      ] {
        let view = try tensor.selectingRows(selection)
        #expect(view.bytes == 0 && view.rowChunks().isEmpty, "\(encoding)")
        #expect(try view.planes().allSatisfy { $0.count == 0 }, "\(encoding)")
      }
    }
  }

  /// A selection from a large matrix is a few numbers, and any range of it a few runs.
  @Test func selectionsAreCompact() {
    let many = 1 << 40
    #expect(RowSelection.strided(from: 1, by: 2, count: many)[many - 1] == 2 * many - 1)
    let heads = RowSelection.heads(1 << 30, headRows: 128, rotated: 128, to: .interleaved)
    #expect(heads.count == 1 << 37 && heads[(1 << 37) - 1] == (1 << 37) - 1 && heads[129] == 128 + 64)
    for (selection, rows) in Self.selections {
      #expect(selection.count == rows.count && (0..<rows.count).map { selection[$0] } == rows)
    }
    // Runs that follow one another are one.
    #expect(RowSelection.concatenating([.range(2..<5), .range(5..<9)]) == .range(2..<9))
    #expect(RowSelection.entries([4, 5, 6]) == .range(4..<7))
    #expect(RowSelection.heads(3, headRows: 6, rotated: 0, to: .halves) == .range(0..<18))
    #expect(RowSelection.concatenating([]).count == 0)
  }
}
