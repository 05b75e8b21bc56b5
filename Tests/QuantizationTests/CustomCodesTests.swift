import IngotFormats
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors
import Testing

/// Codes that a program chooses itself.
struct CustomCodesTests {
  /// An expert's matrix of the small model, quantized so.
  private func tensor(
    _ encoding: String, _ quantizer: String = "search",
    _ change: @escaping @Sendable (inout IntegerCodes) -> Void = { _ in }
  ) throws -> Tensor {
    let model = try Model.read(nano)
    let role = model[.down, layer: 1, expert: 2]!.role
    let plan = Plan(
      name: "test",
      assignments: Dictionary(
        uniqueKeysWithValues: model.tensors.map {
          (
            $0.role,
            $0.role == role
              ? .init(encoding: Encoding(name: encoding)!, quantizer: quantizer)
              : .init(encoding: $0.encoding, quantizer: nil)
          )
        }))
    var options = QuantizationOptions()
    options.custom = CustomCodes(name: "ones") { tensor, values, rows, _, scheme in
      #expect(values.count == rows * tensor.columns)
      let groups = rows * scheme.groups(tensor.columns)
      var made = IntegerCodes(
        codes: values.map { $0 < 0 ? 0 : 3 }, scales: [Float](repeating: 0.5, count: groups),
        zeros: scheme.offset == .zeroPoint ? [UInt8](repeating: 1, count: groups) : [])
      change(&made)
      return made
    }
    return try model.quantized(by: plan, options)[role]!
  }

  @Test func codesAreThoseThatWereChosen() throws {
    let exact = try Model.read(nano)[.down, layer: 1, expert: 2]!.floats()
    // scale · (code − zero), zero being 2^(bits − 1) where groups have none.
    for (encoding, low, high) in [
      ("int4 g64 zero f16", Float(-0.5), Float(1)), ("int4 g64 sym f16", -4, -2.5),
      ("int2 g32 sym bf16", -1, 0.5),
    ] {
      let values = try tensor(encoding).floats()
      #expect(values == exact.map { $0 < 0 ? low : high }, "\(encoding)")
    }
  }

  @Test func otherEncodingsStayWithTheirQuantizers() throws {
    let values = try tensor("q4_0").floats()
    #expect(Set(values).count > 3)
  }

  @Test(arguments: [
    ("codes", "3071"), ("scales", "finite"), ("code", "below 16"), ("zeros", "zeros by quantizer 'ones'"),
  ])
  func whatDoesNotFitIsRefused(_ fault: String, _ word: String) throws {
    let made = try tensor("int4 g64 zero f16") { codes in
      switch fault {
      case "codes": codes.codes.removeLast()
      case "scales": codes.scales[0] = .infinity
      case "code": codes.codes[5] = 16
      default: codes.zeros = []
      }
    }
    do {
      _ = try made.floats()
      Issue.record("\(fault) taken")
    } catch {
      let text = "\(error)"
      #expect(text.contains("quantizer 'ones'") && text.contains(made.name), "\(text)")
      if fault != "codes" { #expect(text.contains(word), "\(text)") }
    }
  }
}
