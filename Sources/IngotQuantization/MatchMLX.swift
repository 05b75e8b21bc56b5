import IngotKernels
import IngotSystem
import IngotTensors

extension Quantizer {
  /// Weights as mlx_lm.convert has them when it quantizes: FP8 multiplied out in F32, then rounded to BF16.
  static func asMLXSees(_ values: [Float]) -> [Float] {
    let rounded = Bytes(count: 2 * values.count) { IngotKernels.encode(.bf16, values.span, into: &$0) }
    var seen = values
    var span = seen.mutableSpan
    IngotKernels.decode(.bf16, rounded.span, into: &span)
    return seen
  }

  /// Planes of rows as MLX's affine mode fills them.
  func matchingMLX(_ values: [Float], _ rows: Int, _ columns: Int, _ scheme: Affine) -> [Bytes] {
    let values = Quantizer.asMLXSees(values)
    var codes = [UInt8](repeating: 0, count: values.count)
    var codeSpan = codes.mutableSpan
    let storage = scheme.scale.floatFormat!
    let size = rows * scheme.groups(columns) * storage.byteCount
    var scales = Bytes.empty
    let biases = Bytes(count: size) { biases in
      scales = Bytes(count: size) { output in
        quantizeAffineLikeMLX(
          values.span, rows: max(rows, 1), bits: scheme.bits, group: scheme.group ?? max(columns, 1),
          storage: storage, codes: &codeSpan, scales: &output, biases: &biases)
      }
    }
    return [Quantizer.packed(codes, bits: scheme.bits, rows: rows), scales, biases]
  }
}

extension Recipe {
  /// The recipe with MLX's own choice of codes in every rule that quantizes.
  ///
  /// - Throws: FormatError for a rule whose encoding MLX does not have.
  public func matchingMLX() throws(FormatError) -> Recipe {
    var recipe = self
    recipe.name += " --match-mlx"
    for index in rules.indices {
      guard let encoding = rules[index].encoding, Quantizer.filling(encoding) != [.cast] else { continue }
      guard Quantizer.filling(encoding).contains(.matchMLX) else {
        throw FormatError(
          path: "recipe '\(name)'",
          expected:
            "an encoding of MLX in line \(rules[index].line), such as 'int4 g64 bias bf16' or 'mx-fp4'",
          found: "\(encoding)")
      }
      recipe.rules[index].quantizer = .matchMLX
    }
    return recipe
  }
}
