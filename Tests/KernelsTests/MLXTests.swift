import IngotKernels
import Testing

/// MLX's affine rule against itself written out; scripts/ingot_tools/engines holds whole models against mlx_lm.convert.
@Suite struct MLXTests {
  static func quantize(
    _ weights: [Float], rows: Int, bits: Int, group: Int, _ storage: FloatFormat,
    using isa: InstructionSet = .scalar
  ) -> (codes: [UInt8], scales: [Float], biases: [Float]) {
    let groups = rows * (weights.count / rows / group)
    var codes = [UInt8](repeating: 0xAA, count: weights.count)
    var scales = [UInt8](repeating: 0, count: groups * storage.byteCount)
    var biases = scales
    var codeSpan = codes.mutableSpan
    var scaleSpan = scales.mutableSpan
    var biasSpan = biases.mutableSpan
    var scaleBytes = scaleSpan.mutableRaw
    var biasBytes = biasSpan.mutableRaw
    quantizeAffineLikeMLX(
      weights.span, rows: rows, bits: bits, group: group, storage: storage, codes: &codeSpan,
      scales: &scaleBytes,
      biases: &biasBytes, using: isa)
    return (codes, decoded(storage, scales), decoded(storage, biases))
  }

  @Test(arguments: [2, 3, 4, 5, 6, 8], [32, 64, 128])
  func ruleIsFollowed(bits: Int, group: Int) {
    var random = SeededGenerator(bits * group)
    var weights = random.normals(group * 16)
    // Groups that are constant, zero, of one sign, tiny, or far from zero.
    for j in 0..<group {
      weights[j] = 0
      weights[group + j] = 1
      weights[2 * group + j] = -1
      weights[3 * group + j] = abs(weights[3 * group + j])
      weights[4 * group + j] = -abs(weights[4 * group + j])
      weights[5 * group + j] *= 1e-9
      weights[6 * group + j] = 1 + weights[6 * group + j] * 1e-3
    }
    let (codes, scales, biases) = Self.quantize(weights, rows: 4, bits: bits, group: group, .f32)
    let most = Float(1 << bits - 1)
    for g in 0..<16 {
      let values = Array(weights[g * group..<(g + 1) * group])
      let (low, high) = (values.min()!, values.max()!)
      var scale = max((high - low) / most, 1e-7)
      let below = abs(low) > abs(high)
      if !below { scale = -scale }
      let edge = below ? low : high
      let steps = (edge / scale).rounded(.toNearestOrEven)
      let bias = steps == 0 ? 0 : edge
      if steps != 0 { scale = edge / steps }
      #expect(scales[g] == scale && biases[g] == bias, "group \(g)")
      let wanted = values.map { UInt8(min(max((($0 - bias) / scale).rounded(.toNearestOrEven), 0), most)) }
      #expect(Array(codes[g * group..<(g + 1) * group]) == wanted, "group \(g)")
    }
    // Narrower scales round what is stored and leave the codes.
    let narrow = Self.quantize(weights, rows: 4, bits: bits, group: group, .bf16)
    #expect(narrow.codes == codes)
    #expect(narrow.scales == decoded(.bf16, encoded(.bf16, scales)))
    #expect(narrow.biases == decoded(.bf16, encoded(.bf16, biases)))
  }

  /// Vector bodies, and rows straight from how they are stored, give what the scalar reference gives.
  @Test(arguments: InstructionSet.supported)
  func bodiesAgree(isa: InstructionSet) {
    for sample in StoredRowsTests.samples where sample.columns % 32 == 0 {
      let seen = decoded(.bf16, encoded(.bf16, sample.floats))
      for (bits, group, storage) in [
        (4, 64, FloatFormat.bf16), (8, 32, .f16), (3, 64, .f32), (6, sample.columns, .bf16),
      ]
      where sample.columns % group == 0 {
        let wanted = Self.quantize(seen, rows: sample.rows, bits: bits, group: group, storage)
        let made = Self.quantize(seen, rows: sample.rows, bits: bits, group: group, storage, using: isa)
        let what = "\(sample) int\(bits) g\(group) \(storage)"
        #expect(difference(made.codes, wanted.codes) == nil, "\(what)")
        #expect(made.scales == wanted.scales && made.biases == wanted.biases, "\(what)")
        let groups = sample.rows * (sample.columns / group)
        let packed = StoredRowsTests.packed(wanted.codes, bits: bits, rows: sample.rows)
        let sizes = [packed.count, groups * storage.byteCount, groups * storage.byteCount]
        let stored = sample.planes(sizes) { rows, codes, scales, biases, scratch in
          rows.quantizeAffine(
            .bias, bits: bits, group: group, storage: storage, method: .roundToNearest, likeMLX: true,
            codes: &codes, scales: &scales, offsets: &biases, scratch: &scratch, using: isa)
        }
        #expect(stored.finite && difference(stored.planes[0], packed) == nil, "\(what)")
        #expect(stored.planes[1] == encoded(storage, wanted.scales), "\(what)")
        #expect(stored.planes[2] == encoded(storage, wanted.biases), "\(what)")
      }
    }
  }
}
