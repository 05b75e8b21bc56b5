import Foundation
import IngotFormats
import IngotModels
import IngotPlanning
import IngotQuantization
import IngotSystem
import IngotTensors
import Testing

/// The embedded model and a made-up sensitivity of it.
enum Nano {
  static let path = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "Fixtures/m2-nano").path()

  static func model() throws -> Model { try Model.read(path) }

  /// Errors that fall by a factor of four a bit, larger in early layers and for experts of low numbers.
  static func sensitivity(_ model: Model, format: String) throws -> Sensitivity {
    let candidates = try #require(
      Format.named(format).flatMap { Sensitivity.candidates($0.traits, for: model) })
    var errors: [Role: [Double?]] = [:]
    var groups: [Role: Sensitivity.Measure] = [:]
    for tensor in model.tensors where model.canQuantize(tensor) {
      let scale = 1 / Double((1 + (tensor.role.layer ?? 0)) * (2 + (tensor.role.expert ?? 0)))
      errors[tensor.role] = candidates.all.map { encoding in
        let bits = 8 * Double(encoding.bytes(tensor.shape)!) / Double(tensor.count)
        return scale * Double(tensor.count) * 1e-6 / Double(1 << Int(2 * bits))
      }
      let stack = Role(tensor.role.kind, layer: tensor.role.layer)
      let sum = (groups[stack]?.mean ?? 0) + (errors[tensor.role]![0] ?? 0)
      groups[stack] = .init(mean: sum, standardError: nil)
    }
    let blueprint = model.blueprint
    return Sensitivity(
      model: ModelName(model, name: "m2-nano"), tokens: 100, texts: ["a.txt"], quantizer: "search",
      candidates: candidates.all, reference: candidates.reference, groups: groups,
      uniform: [
        .init(
          encoding: candidates.reference, divergence: .init(mean: 0.1, standardError: 0.01), sum: 0.2)
      ],
      loads: (0..<blueprint.layerCount).map { _ in
        (0..<blueprint.experts.count).map { .init(tokens: $0, mass: Double($0) / 4) }
      }, errors: errors)
  }

  static func temporary(_ text: String, _ body: (String) throws -> Void) throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    let path = folder + "/plan.json"
    try WholeFile.write(Array(text.utf8), to: path)
    try body(path)
  }
}

extension Folder {
  static func temporary() throws -> String {
    let path = FileManager.default.temporaryDirectory.appending(path: "ingot-\(UUID().uuidString)").path()
    try create(path)
    return path
  }
}

@Suite struct PlanFileTests {
  @Test(arguments: [("ingot", 3.4), ("ingot", 4.1), ("gguf", 5.4), ("mlx", 3.9), ("compressed-tensors", 6)])
  func plansKeepToBudgetsTiesAndBytes(_ name: String, _ bits: Double) async throws {
    let model = try Nano.model()
    let format = try #require(Format.named(name))
    let sensitivity = try Nano.sensitivity(model, format: name)
    let allocation = try Allocation(
      model, sensitivity, try #require(format.traits.sharing), candidates: sensitivity.candidates
    ) { format.refusal($0) == nil }
    let budget = Int(bits * Double(model.parameters) / 8)
    let result = try #require(allocation.solved(tensorBytes: budget, name: "test"))
    #expect(
      result.tensorBytes <= budget && (name == "compressed-tensors" || result.tensorBytes > budget * 9 / 10))
    #expect(result.gap <= 0.005)
    let sum = try #require(sensitivity.sum(result.plan, model))
    #expect(abs(sum - result.sum) < 1e-9 * sum)
    // The container takes it, and its size is the one that was planned.
    let quantized = try model.quantized(by: result.plan)
    #expect(quantized.bytes == result.tensorBytes)
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    let written = try await quantized.write(folder + "/x.\(name)", as: format, .init())
    #expect(written.bytes == (try quantized.plannedBytes(as: format, .init())))
    // It reads back as the same plan.
    let file = PlanFile(result.plan, format: name, for: model)
    try Nano.temporary(file.text) { path in
      let read = try PlanFile.read(path)
      let plan = try read.plan(for: model, path: path)
      #expect(plan.assignments == result.plan.assignments)
      #expect(read.checksum == file.checksum)
      #expect(PlanFile(plan, format: name, for: model).text == file.text)
    }
    let experts = Set(
      model.tensors.filter { $0.role.kind == .down && $0.role.layer == 1 }
        .map { result.plan.assignments[$0.role]!.encoding })
    if name != "ingot" { #expect(experts.count == 1, "one type a stack") }
  }

  @Test func largerBudgetsAreNeverWorse() throws {
    let model = try Nano.model()
    let sensitivity = try Nano.sensitivity(model, format: "ingot")
    let allocation = try Allocation(model, sensitivity, .none, candidates: sensitivity.candidates) { _ in true
    }
    var last = Double.infinity
    for budget in stride(from: allocation.leastBytes, to: model.bytes, by: model.bytes / 40) {
      let result = try #require(allocation.solved(tensorBytes: budget, name: ""))
      #expect(result.sum <= last * (1 + 1e-4))
      last = result.sum
    }
    #expect(allocation.solved(tensorBytes: allocation.leastBytes - 1, name: "") == nil)
  }

  @Test func sensitivitiesReadBack() throws {
    let model = try Nano.model()
    var sensitivity = try Nano.sensitivity(model, format: "ingot")
    // Files of older versions have no mixtures.
    try Nano.temporary(sensitivity.text) { path in
      let old = try Sensitivity.read(path, for: model)
      #expect(old.mixedPlans.isEmpty)
    }
    sensitivity.mixedPlans = Self.mixedPlans
    sensitivity.importance = ["name": "x.calib", "tokens": 4096]
    try Nano.temporary(sensitivity.text) { path in
      let read = try Sensitivity.read(path, for: model)
      #expect(read.text == sensitivity.text && read.mixedPlans == Self.mixedPlans)
      #expect(read.importance == sensitivity.importance)
      #expect(read.candidates == sensitivity.candidates && read.loads == sensitivity.loads)
    }
  }

  /// Of rows of 96, 64 and 192: candidates whose groups divide them. Layers without experts drop none.
  @Test(arguments: [
    ("mlx", "int3 g32 bias bf16"), ("compressed-tensors", "int4 g32 sym bf16"), ("gguf", "q4_0"),
  ])
  func sensitivityOfADenseModelOfOddRows(_ format: String, _ reference: String) throws {
    let folder = URL(filePath: Nano.path).deletingLastPathComponent().appending(path: "families/llama-plain")
    let model = try Model.read(folder.path())
    var sensitivity = try Nano.sensitivity(model, format: format)
    #expect(sensitivity.reference == Encoding(name: reference))
    let rules = try #require(Format.named(format)).rowRules
    for tensor in model.tensors where model.canQuantize(tensor) {
      let unfit = sensitivity.candidates.filter { !rules.holds($0, tensor.rows, tensor.columns) }
      #expect(unfit.isEmpty, "\(tensor.name)")
    }
    sensitivity.loads = model.blueprint.layers.map { layer in
      (0..<layer.feedForward.count).map { .init(tokens: $0, mass: 1) }
    }
    sensitivity.drops = model.blueprint.layers.map { _ in
      .init(
        scores: [], squares: [], counts: [], errors: [],
        measured: .init(count: 0, divergence: .init(mean: 0, standardError: 0)))
    }
    try Nano.temporary(sensitivity.text) { path in
      let read = try Sensitivity.read(path, for: model)
      #expect(read.text == sensitivity.text)
    }
  }

  static let mixedPlans: [Sensitivity.MixedPlan] = [(3.25, 0.4, 0.5), (4.25, 0.1, 0.2)].map {
    .init(
      format: "ingot", bitsPerWeight: $0.0, divergence: .init(mean: $0.1, standardError: 0.01), sum: $0.2,
      tokens: 64)
  }

  @Test(arguments: [
    ("\"format\": \"ingot\"", "\"format\": 4", "a mixed plan with format"),
    ("\"bitsPerWeight\": 3.25", "\"bits\": 3.25", "a mixed plan with format"),
    ("\"klDivergence\": 0.4", "\"klDivergence\": -0.4", "at least 0"),
    ("\"sensitivity\": 1", "\"sensitivity\": 2", "\"sensitivity\": 1"),
    ("\"layers\": 4", "\"layers\": 5", "layers 4; make it from this model"),
    ("\"head\": {", "\"tail\": {", "a stack's name"),
    ("\"tokens\": 100", "\"tokens\": 0", "\"tokens\""),
    ("\"reference\": \"int3", "\"reference\": \"int9", "an encoding in \"reference\""),
    ("\"sum\": 0.2", "\"sum\": -1", "at least 0"),
  ])
  func brokenSensitivitiesAreRefused(_ old: String, _ new: String, _ message: String) throws {
    let model = try Nano.model()
    var sensitivity = try Nano.sensitivity(model, format: "ingot")
    sensitivity.mixedPlans = [Self.mixedPlans[0]]
    let text = sensitivity.text
    try #require(text.contains(old))
    try Nano.temporary(text.replacingOccurrences(of: old, with: new)) { path in
      let error = try #require(throws: FormatError.self) { try Sensitivity.read(path, for: model) }
      #expect("\(error)".contains(message), "\(error)")
    }
  }

  static let plan = """
    {"plan": 1, "format": "ingot", "tensors": {
      "embedding": "int4 g64 zero f16", "layers.0.query": "keep",
      "layers.2.gate": {"int3 g64 zero f16": "0-3, 6", "int4 g64": "4-5, 7"}}}
    """

  @Test func editedByHand() throws {
    let model = try Nano.model()
    try Nano.temporary(Self.plan) { path in
      let plan = try PlanFile.read(path).plan(for: model, path: path)
      func name(_ kind: TensorKind, _ layer: Int?, _ expert: Int?) -> String? {
        plan.assignments[Role(kind, layer: layer, expert: expert)]?.encoding.description
      }
      #expect(name(.embedding, nil, nil) == "int4 g64 zero f16")
      #expect(name(.gate, 2, 6) == "int3 g64 zero f16")
      #expect(name(.gate, 2, 7) == "int4 g64 zero f16")
      #expect(name(.query, 0, nil) == model[.query, layer: 0]?.encoding.description)
      #expect(name(.up, 2, 1) == model[.up, layer: 2, expert: 1]?.encoding.description)
    }
  }

  @Test(arguments: [
    ("\"plan\": 1", "\"plan\": 3", "\"plan\": 1"),
    ("\"format\": \"ingot\",", "", "the name of a \"format\""),
    ("\"plan\": 1", "\"plan\": 1, \"plans\": 2", "one of the keys"),
    ("\"embedding\"", "\"layers.0.router\"", "the name of a tensor"),
    ("\"embedding\"", "\"layers.4.gate\"", "the name of a tensor"),
    ("\"embedding\"", "\"layers.01.gate\"", "the name of a tensor"),
    ("\"embedding\": \"int4 g64 zero f16\"", "\"embedding\": \"int7 g64\"", "an encoding, such as"),
    ("\"embedding\": \"int4 g64 zero f16\"", "\"embedding\": 4", "the name of an encoding"),
    ("\"keep\"", "{\"int4 g64\": \"0\"}", "the name of an encoding"),
    ("0-3, 6", "0-3", "none for expert 6"),
    ("0-3, 6", "0-4, 6", "expert 4 a second time"),
    ("0-3, 6", "0-3, 8", "experts from 0 to 7"),
    ("0-3, 6", "3-0, 6", "experts such as"),
    ("0-3, 6", "", "experts such as"),
    ("0-3, 6", "0-99999999999", "experts such as"),
    ("\"embedding\": \"int4 g64 zero f16\"", "\"embedding\": \"fp8 128×128\"", "an encoding"),
    ("\"tensors\": {", "\"tensors\": {}, \"x\": {", "one of the keys"),
    ("}}}", "}}", "byte"),
  ])
  func brokenPlansAreRefused(_ old: String, _ new: String, _ message: String) throws {
    let model = try Nano.model()
    try #require(Self.plan.contains(old))
    try Nano.temporary(Self.plan.replacingOccurrences(of: old, with: new)) { path in
      let error = try #require(throws: FormatError.self) {
        try PlanFile.read(path).plan(for: model, path: path)
      }
      #expect("\(error)".contains(message), "\(error)")
    }
  }

  @Test func expertsAreSharedOutByTheirErrors() throws {
    var measured = Sensitivity.Measurements()
    let stack = Role(.down, layer: 0)
    measured.groups[stack] = .init(mean: 0.8, standardError: nil)
    measured.experts[stack] = [3, 1, 0, 0]
    measured.loads = [[(100, 50.0), (100, 50), (100, 40), (0, 0)].map { .init(tokens: $0.0, mass: $0.1) }]
    for expert in 0..<4 { measured.outputs[Role(.down, layer: 0, expert: expert)] = [8, 2, nil] }
    measured.searched = measured.outputs
    let errors = Sensitivity.errors(measured, reference: 1)
    let at = (0..<4).map { errors[Role(.down, layer: 0, expert: $0)]! }
    #expect(abs(at.reduce(0) { $0 + $1[1]! } - 0.8) < 1e-12, "shares add up to the stack's")
    #expect(at[0][1]! > 2 * at[1][1]! && at[3][1]! > 0 && at[3][1] == at[2][1])
    #expect(abs(at[0][0]! - 4 * at[0][1]!) < 1e-12 && at[0][2] == nil)
  }

  @Test func predictionsGoThroughWhatWasMeasured() throws {
    let model = try Nano.model()
    var sensitivity = try Nano.sensitivity(model, format: "ingot")
    let encodings = sensitivity.candidates
    sensitivity.uniform = [
      .init(encoding: encodings[2], divergence: .init(mean: 0.3, standardError: 0.01), sum: 0.8),
      .init(encoding: encodings[4], divergence: .init(mean: 0.12, standardError: 0.004), sum: 0.25),
    ]
    let prediction = Prediction(sensitivity, format: "ingot")
    let low = prediction.divergence(sum: 0.25)
    #expect(abs(prediction.divergence(sum: 0.8).mean - 0.3) < 1e-9)
    #expect(abs(low.mean - 0.12) < 1e-9)
    #expect(low.low < low.mean && low.mean < low.high)
    #expect(prediction.divergence(sum: 0).mean == 0)
    // Plans of a format go by its own mixtures, more closely; models of one encoding by those of one.
    sensitivity.mixedPlans = Self.mixedPlans
    let plans = Prediction(sensitivity, format: "ingot")
    #expect(abs(plans.divergence(sum: 0.5).mean - 0.4) < 1e-9)
    #expect(abs(plans.divergence(sum: 0.2).mean - 0.1) < 1e-9)
    let between = plans.divergence(sum: (0.5 * 0.2).squareRoot())
    #expect(abs(between.mean - 0.2) < 1e-9, "the geometric mean of both")
    #expect(between.high / between.mean < low.high / low.mean)
    #expect(Prediction(sensitivity, format: "gguf").divergence(sum: 0.25) == low)
    #expect(abs(Prediction(sensitivity, format: nil).divergence(sum: 0.8).mean - 0.3) < 1e-9)
  }
}
