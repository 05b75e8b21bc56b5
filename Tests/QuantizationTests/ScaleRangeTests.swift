import IngotFormats
import IngotKernels
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors
import Synchronization
import Testing

/// Weights whose scales leave the range of their type: refused, or as exact as others, never flushed or cut off unsaid.
@Suite struct ScaleRangeTests {
  static let encodings = [
    "int8 g32 zero f16", "int4 g64 zero f16", "int3 g64 sym f16", "int2 g16 bias f16", "int4 g64 zero bf16",
    "int4 g128 sym bf16", "int4 g64 bias bf16", "int8 row sym f32", "q4_0", "q4_1", "q5_0", "q5_1", "q8_0",
    "iq4_nl", "iq4_xs", "q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "mxfp4", "mx-fp4", "mx-fp8", "nv-fp4",
    "nv-fp4 global", "iq1_s", "iq1_m", "iq2_xxs", "iq2_s", "iq3_xxs", "iq3_s",
  ]
  private static let role = Role(.down, layer: 1, expert: 2)

  /// Decoded values of one matrix of the small model, changed by `body`, in an encoding; throws what quantizing throws.
  private func quantized(
    _ encoding: String, _ quantizer: String? = nil, hearing: QuantizationOptions = .init(),
    _ body: @escaping @Sendable (_ row: Int, _ column: Int, Float) -> Float
  ) throws -> (exact: [Float], decoded: [Float], columns: Int) {
    let model = try Model.read(nano).mapTensors { tensor in
      guard tensor.role == Self.role else { return tensor }
      let columns = tensor.columns
      return tensor.mapped(to: .dense(.f32)) { rows, planes throws(FormatError) in
        var values = [Float](repeating: 0, count: rows.count * columns)
        var span = values.mutableSpan
        tensor.encoding.decode(planes, rows: rows.count, columns: columns, into: &span)
        for index in values.indices {
          values[index] = body(rows.lowerBound + index / columns, index % columns, values[index])
        }
        return [Bytes(count: 4 * values.count) { encode(.f32, values.span, into: &$0) }]
      }
    }
    let target = Encoding(name: encoding)!
    var plan = Plan(name: "test", assignments: [:])
    for tensor in model.tensors {
      plan.assignments[tensor.role] =
        tensor.role == Self.role
        ? .init(encoding: target, quantizer: quantizer ?? Quantizer.filling(target)[0].rawValue)
        : .init(encoding: tensor.encoding, quantizer: nil)
    }
    let tensor = model[Self.role]!
    let decoded = try model.quantized(by: plan, hearing)[Self.role]!.floats()
    return (try tensor.floats(), decoded, tensor.columns)
  }

  /// Relative squared error. In F64: squares of 1e38 are too large for F32, those of 1e-30 too small.
  private func error(_ values: (exact: [Float], decoded: [Float], columns: Int)) -> Double {
    var (difference, norm) = (0.0, 0.0)
    for (exact, decoded) in zip(values.exact, values.decoded) {
      difference += (Double(exact) - Double(decoded)) * (Double(exact) - Double(decoded))
      norm += Double(exact) * Double(exact)
    }
    return difference / norm
  }

  @Test(arguments: encodings) func asExactAsOthersOrRefused(_ encoding: String) throws {
    let usual = try quantized(encoding) { $2 }
    let largest = usual.exact.reduce(0) { max($0, abs($1)) }
    // Steps near the type's least values are rounded by up to 3 % before they are called coarse.
    let limit = 6 * error(usual)
    var refused: [Float] = []
    for magnitude: Float in [1e-30, 1e-9, 1e-6, 1e-3, 1, 1e3, 1e6, 1e38] {
      do {
        let found = error(try quantized(encoding) { $2 / largest * magnitude })
        #expect(found < limit, "\(encoding) at \(magnitude): \(found), usually \(limit / 6)")
      } catch let failure as FormatError {
        refused.append(magnitude)
        let text = failure.description
        for word in [
          failure.tensor ?? "none", encoding, "element [", "names: [", "encoding: bf16", "scales are",
        ] {
          #expect(text.contains(word), "\(encoding) at \(magnitude): no '\(word)' in \(text)")
        }
      }
    }
    // What types hold by their range; nothing else may be refused.
    let isWide =
      encoding.hasSuffix("bf16") || encoding.hasSuffix("f32") || encoding.hasPrefix("mx")
    #expect(
      !refused.contains { $0 >= 1e-3 && $0 <= 1e3 && !(encoding == "nv-fp4" && $0 == 1e-3) }, "\(refused)")
    #expect(refused.isEmpty == isWide, "\(encoding): \(refused)")
    if encoding.hasSuffix(" f16") { #expect(refused.contains(1e38) && refused.contains(1e-9)) }
  }

  @Test(arguments: [("int4 g64 zero f16", 1e6), ("q4_0", 1e6), ("q4_k", 1e8), ("nv-fp4", 3000), ("f16", 7e4)])
  func oneOutlierBeyondTheType(_ encoding: String, _ outlier: Float) throws {
    let failure = #expect(throws: FormatError.self) {
      try quantized(encoding) { row, column, value in row == 3 && column == 17 ? -outlier : value }
    }
    let text = failure?.description ?? ""
    #expect(text.contains("element [3, 17]") && text.contains("-\(outlier)"), "\(text)")
    #expect(text.contains(failure?.tensor ?? "none"))
  }

  @Test(arguments: [
    ("int4 g64 zero f16", 1e5), ("int4 g64 bias bf16", 1e6), ("q4_k", 1e6), ("q8_0", 1e6), ("mxfp4", 1e30),
    ("nv-fp4 global", 1e6),
  ])
  func oneOutlierWithinTheType(_ encoding: String, _ outlier: Float) throws {
    let found = try quantized(encoding) { row, column, value in row == 3 && column == 17 ? -outlier : value }
    let value = found.decoded[3 * found.columns + 17]
    #expect(abs(value / -outlier - 1) < 0.35 && found.decoded.allSatisfy { $0.isFinite }, "\(value)")
  }

  private final class Heard: Sendable { let coarse = Mutex<[ScaleWatch.Coarse]>([]) }

  /// As embeddings of tokens that were never trained are.
  @Test(arguments: ["int4 g64 zero f16", "q8_0", "q4_k", "iq4_nl"])
  func smallRowsBesideOthersAreSaid(_ encoding: String) throws {
    let heard = Heard()
    var options = QuantizationOptions()
    options.coarse = { _, coarse in heard.coarse.withLock { $0.append(coarse) } }
    let found = try quantized(encoding, hearing: options) { row, _, value in row < 2 ? 1e-20 : value }
    let group = Encoding(name: encoding).map { encoding in
      if case .ggml(let type) = encoding { return type.blockWeights } else { return 64 }
    }!
    let coarse = heard.coarse.withLock { $0 }
    #expect(coarse.count == 1 && coarse[0].largest == 1e-20)
    #expect(coarse.first?.blocks == 2 * (found.columns / group))
    #expect(found.decoded.allSatisfy { $0.isFinite })
  }

  /// Zeros are exact, however small a scale they have.
  @Test(arguments: encodings) func zerosAreNothingToSay(_ encoding: String) throws {
    let heard = Heard()
    var options = QuantizationOptions()
    options.coarse = { _, coarse in heard.coarse.withLock { $0.append(coarse) } }
    let found = try quantized(encoding, hearing: options) { row, _, value in row % 2 == 0 ? 0 : value * 30 }
    let coarse = heard.coarse.withLock { $0 }
    #expect(coarse.isEmpty)
    let first = found.decoded.prefix(found.columns)
    #expect(first.allSatisfy { $0 == 0 })
  }

  @Test func denseValues() throws {
    for (type, magnitude) in [("f16", Float(1e38)), ("f16", 1e6), ("f16", 1e-9)] {
      #expect(throws: FormatError.self, "\(type) \(magnitude)") {
        try quantized(type) { _, _, value in value * magnitude }
      }
    }
    // Values near 0 are rounded like any others; BF16 has the range of F32.
    #expect(error(try quantized("f16") { _, column, value in column == 0 ? value * 1e-9 : value }) < 1e-6)
    for magnitude: Float in [1e-30, 1e-9, 1e6, 1e30] {
      #expect(error(try quantized("bf16") { _, _, value in value * magnitude }) < 1e-4)
    }
  }

  @Test(arguments: ["int4 g64 zero f16", "q4_k", "f16"]) func whatIsNotFiniteIsRefused(_ encoding: String)
    throws
  {
    for value in [Float.nan, .infinity, -.infinity] {
      let failure = #expect(throws: FormatError.self) {
        try quantized(encoding) { row, column, own in row == 5 && column == 6 ? value : own }
      }
      #expect(failure?.description.contains("[5, 6]") == true && failure?.remedy == .allowNonfinite)
    }
  }
}
