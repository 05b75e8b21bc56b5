import IngotFormats
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors
import Testing

@Suite struct QuantizedModelTests {
  static let encodings: [String] = Affine.widths.flatMap { bits in
    ["g16", "g64", "g128", "row"].flatMap { group in
      ["sym", "zero", "bias"].map { "int\(bits) \(group) \($0) bf16" }
    }
  }

  /// Squared error of a tensor under an encoding and quantizer, and the tensor's own squared norm.
  static func error(_ tensor: Tensor, _ model: Model, _ encoding: String, _ quantizer: String) throws -> (
    Double, Double
  ) {
    let plan = Plan(
      name: "test",
      assignments: Dictionary(
        uniqueKeysWithValues: model.tensors.map {
          (
            $0.role,
            $0.role == tensor.role
              ? .init(encoding: Encoding(name: encoding)!, quantizer: quantizer)
              : .init(encoding: $0.encoding, quantizer: nil)
          )
        }))
    var options = QuantizationOptions()
    options.usesNormGains = false
    let values = try model.quantized(by: plan, options)[tensor.role]!.floats()
    let exact = try tensor.floats()
    return zip(values, exact).reduce(into: (0, 0)) { sums, pair in
      let difference = Double(pair.0) - Double(pair.1)
      sums.0 += difference * difference
      sums.1 += Double(pair.1) * Double(pair.1)
    }
  }

  @Test(arguments: encodings)
  func searchIsNeverWorseThanRounding(_ encoding: String) throws {
    let model = try Model.read(nano)
    for tensor in [model[.down, layer: 1, expert: 2]!, model[.key, layer: 3]!] {
      let rounded = try Self.error(tensor, model, encoding, "round-to-nearest")
      let searched = try Self.error(tensor, model, encoding, "search")
      #expect(searched.0 <= rounded.0, "\(encoding) \(tensor.name)")
      // A loose bound on the whole: one step is at most 2·max / (2^bits − 1) of a row of outliers.
      #expect(searched.0 < searched.1, "\(encoding) \(tensor.name): worse than writing zeros")
    }
  }

  @Test func moreBitsAreCloser() throws {
    let model = try Model.read(nano)
    let tensor = model[.gate, layer: 0, expert: 0]!
    for offset in ["sym", "zero", "bias"] {
      let errors = try Affine.widths.map {
        try Self.error(tensor, model, "int\($0) g32 \(offset) f16", "search").0
      }
      #expect(zip(errors, errors.dropFirst()).allSatisfy { $0 > $1 }, "\(offset): \(errors)")
    }
  }

  @Test func trellisCodesAreCloserThanGroups() throws {
    let model = try Model.read(nano)
    for tensor in [model[.down, layer: 1, expert: 2]!, model[.key, layer: 3]!] {
      for (trellis, groups) in [("trellis-2 w9", "int2 g64 zero f16"), ("trellis-3", "int3 g64 zero f16")] {
        let codes = try Self.error(tensor, model, trellis, "search")
        let others = try Self.error(tensor, model, groups, "search")
        #expect(codes.0 < 0.8 * others.0, "\(trellis) \(tensor.name): \(codes.0) of \(others.0)")
      }
    }
  }

  @Test func rowsDoNotDependOnTheRange() throws {
    let model = try Model.read(nano)
    let quantized = try model.quantized(by: Recipe.named("int3").plan(for: model))
    let tensor = quantized[.up, layer: 2, expert: 5]!
    let whole = try tensor.planes()
    let halves = try [0..<128, 128..<256].map { try tensor.planes(rows: $0) }
    for index in whole.indices {
      #expect(whole[index].array == halves[0][index].array + halves[1][index].array, "plane \(index)")
    }
  }

  @Test func importanceMovesTheError() throws {
    let model = try Model.read(nano)
    let tensor = model[.up, layer: 0, expert: 1]!
    var options = QuantizationOptions()
    let columns = (0..<tensor.columns).map { $0 % 16 == 3 ? Float(1000) : 1 }
    options.importance.columns[tensor.role] = columns
    let plan = try Recipe.named("int3").plan(for: model)
    let exact = try tensor.floats()
    func weighted(_ model: Model) throws -> Double {
      zip(try model[tensor.role]!.floats(), exact).enumerated().reduce(0) { sum, item in
        let difference = Double(item.element.0) - Double(item.element.1)
        return sum + Double(columns[item.offset % tensor.columns]) * difference * difference
      }
    }
    let plain = try weighted(model.quantized(by: plan))
    let guided = try weighted(model.quantized(by: plan, options))
    #expect(guided < 0.8 * plain, "weighted error \(guided) with importance, \(plain) without")
  }

  /// Without importance the search goes by the gains of the norm before a layer, and rounding does not.
  @Test(arguments: [
    (Role(.value, layer: 1), Role(.attentionNorm, layer: 1)),
    (Role(.up, layer: 0, expert: 1), Role(.feedForwardNorm, layer: 0)),
    (Role(.head), Role(.finalNorm)),
  ])
  func gainsOfTheNormBeforeStandInForImportance(_ role: Role, _ norm: Role) throws {
    let model = try Model.read(nano)
    var plain = QuantizationOptions()
    plain.usesNormGains = false
    var measured = plain
    let gains = try model[norm]!.floats()
    let mean = gains.reduce(0) { $0 + $1.magnitude } / Float(gains.count)
    measured.importance.columns[role] = gains.map { $0 * $0 + mean * mean }
    func codes(_ options: QuantizationOptions, _ quantizer: String = "search") throws -> [UInt8] {
      let rules =
        "rules:\n  - {parts: [embedding], encoding: bf16}\n  - {encoding: int4 g64, quantizer: \(quantizer)}\n"
      let plan = try Recipe(yaml: rules, path: "test").plan(for: model)
      return try model.quantized(by: plan, options)[role]!.planes()[0].array
    }
    #expect(try codes(.init()) == codes(measured))
    #expect(try codes(.init()) != codes(plain))
    #expect(try codes(.init(), "round-to-nearest") == codes(plain, "round-to-nearest"))
    // Calibration goes first.
    measured.usesNormGains = true
    measured.importance.columns[role] = measured.importance.columns[role]!.map { 1 / ($0 + 0.01) }
    #expect(try codes(measured) != codes(.init()))
  }

  @Test func decodingToF32IsExact() throws {
    let model = try Model.read(nano)
    let dense = try model.decoded(to: .f32)
    for tensor in model.tensors.prefix(40) {
      #expect(try dense[tensor.role]!.floats() == tensor.floats(), "\(tensor.name)")
      if case .dense = tensor.encoding { #expect(dense[tensor.role]!.encoding == tensor.encoding) }
    }
  }

  @Test func planWithoutATensorIsRefused() throws {
    let model = try Model.read(nano)
    var plan = try Recipe.named("int4").plan(for: model)
    plan.assignments[Role(.head)] = nil
    let error = #expect(throws: FormatError.self) { try model.quantized(by: plan) }
    #expect(error?.tensor == "lm_head.weight")
  }
}
