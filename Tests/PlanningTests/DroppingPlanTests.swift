import Foundation
import IngotFormats
import IngotModels
import IngotPlanning
import IngotQuantization
import IngotSystem
import IngotTensors
import Testing

/// Plans that leave experts out: choice, file, edits.
@Suite struct DroppingPlanTests {
  /// Scores that rise from expert to expert, each layer beginning with another one.
  static func sensitivity(_ model: Model, format: String = "ingot") throws -> Sensitivity {
    var sensitivity = try Nano.sensitivity(model, format: format)
    sensitivity.drops = (0..<4).map { layer in
      let scores = (0..<8).map { Double(($0 + 3 * layer) % 8) }
      return .init(
        scores: scores, squares: scores.map { $0 * $0 }, counts: [1, 2, 4, 6],
        errors: [1e-4, 4e-4, 2e-3, 1e-2],
        measured: .init(count: 2, divergence: .init(mean: 4e-4, standardError: 1e-5)))
    }
    return sensitivity
  }

  static func file(_ model: Model, count: Int, bits: Double = 3) throws -> (PlanFile, Plan, Model) {
    let sensitivity = try sensitivity(model)
    let dropped = try #require(sensitivity.least(count))
    let left = try model.dropping(dropped)
    let known = try #require(sensitivity.without(dropped, left: left, format: "ingot"))
    let allocation = try Allocation(left, known, .none, candidates: known.candidates) { _ in true }
    let result = try #require(
      allocation.solved(tensorBytes: Int(bits * Double(left.parameters) / 8), name: "test"))
    var plan = result.plan
    plan.dropped = dropped
    #expect(abs(try #require(known.sum(plan, left)) - result.sum) < 1e-9 * result.sum)
    return (PlanFile(plan, format: "ingot", for: left), plan, left)
  }

  @Test func theLeastImportantGo() throws {
    let model = try Nano.model()
    let sensitivity = try Self.sensitivity(model)
    let dropped = try #require(sensitivity.least(3))
    #expect(dropped.layers == [[0, 1, 2], [5, 6, 7], [2, 3, 4], [0, 1, 7]])
    #expect(try Nano.sensitivity(model, format: "ingot").least(3) == nil)
  }

  @Test func costsFollowWhatWasMeasured() throws {
    let drops = try #require(try Self.sensitivity(Nano.model()).drops?[0])
    #expect(drops.error(0) == 0 && drops.error(2) == 4e-4 && drops.error(6) == 1e-2)
    #expect(abs(drops.error(3) - 1.2e-3) < 1e-12)
    #expect(drops.error([0, 1]) == 4e-4 && drops.error([0, 7]) > drops.error([0, 2]))
  }

  @Test func whatIsLeftTakesOverTheTokens() throws {
    let model = try Nano.model()
    let sensitivity = try Self.sensitivity(model)
    let dropped = try #require(sensitivity.least(2))
    let left = try model.dropping(dropped)
    let known = try #require(sensitivity.without(dropped, left: left, format: "ingot"))
    #expect(abs(known.base - 4 * 4e-4) < 1e-12)
    // Layer 0 loses experts 0 and 1 of loads 0 to 7.
    let growth = 28.0 / 27
    let (old, new) = (
      try #require(sensitivity.error(Role(.up, layer: 0, expert: 2), sensitivity.candidates[1])),
      try #require(known.error(Role(.up, layer: 0, expert: 0), sensitivity.candidates[1]))
    )
    #expect(abs(new / old - growth) < 1e-12)
    #expect(known.error(Role(.up, layer: 0, expert: 6), known.candidates[0]) == nil)
    #expect(known.loads.allSatisfy { $0.count == 6 } && known.model.experts == 6)
  }

  @Test func filesComeBack() throws {
    let model = try Nano.model()
    let (file, plan, left) = try Self.file(model, count: 3)
    #expect(file.text.contains("\"layers.1\": \"5-7\""))
    try Nano.temporary(file.text) { path in
      let read = try PlanFile.read(path)
      let again = try read.plan(for: model, path: path)
      #expect(again.assignments == plan.assignments && again.dropped == plan.dropped)
      #expect(read.checksum == file.checksum && read.text == file.text)
      #expect(PlanFile(again, format: "ingot", for: left).text == file.text)
      #expect(try left.quantized(by: again).bytes == left.quantized(by: plan).bytes)
    }
    let (other, _, _) = try Self.file(model, count: 2)
    #expect(other.checksum != file.checksum)
  }

  static let plan = """
    {"plan": 1, "format": "ingot",
      "dropped": {"layers.0": "0-1", "layers.1": "3, 5", "layers.2": "6-7", "layers.3": "2, 4"},
      "tensors": {"layers.2.gate": {"int3 g64 zero f16": "0-3", "int4 g64": "4-5"}, "layers.3.up": "int4 g64"}}
    """

  @Test func editedByHand() throws {
    let model = try Nano.model()
    try Nano.temporary(Self.plan) { path in
      let plan = try PlanFile.read(path).plan(for: model, path: path)
      #expect(plan.dropped?.layers == [[0, 1], [3, 5], [6, 7], [2, 4]])
      #expect(plan.assignments[Role(.gate, layer: 2, expert: 4)]?.encoding.description == "int4 g64 zero f16")
      #expect(plan.assignments[Role(.up, layer: 3, expert: 5)]?.encoding.description == "int4 g64 zero f16")
      #expect(plan.assignments[Role(.up, layer: 3, expert: 6)] == nil)
      let left = try model.dropping(plan.dropped)
      #expect(
        try left.quantized(by: plan)[.down, layer: 1, expert: 5]?.encoding
          == model[.down, layer: 1, expert: 5]?.encoding)
      // Not of a model that has them all.
      #expect(throws: FormatError.self) { try model.quantized(by: plan) }
    }
  }

  @Test(arguments: [
    ("\"3, 5\"", "\"3\"", "2 experts for \"layers.1\"", "found 1"),
    ("\"0-1\"", "\"0-2\"", "2 experts for \"layers.0\"", "found 3"),
    ("\"layers.3\": \"2, 4\"", "\"layers.4\": \"2, 4\"", "layers from", "layers.4"),
    (", \"layers.3\": \"2, 4\"", "", "2 experts for \"layers.3\"", "found 0"),
    ("\"2, 4\"", "\"2, 8\"", "experts from 0 to 7", "8"),
    ("\"2, 4\"", "\"2, 2\"", "every expert once", "expert 2 a second time"),
    ("\"2, 4\"", "7", "experts such as", "the number 7"),
    ("\"4-5\"", "\"4-6\"", "experts that are not dropped", "expert 6"),
    ("\"4-5\"", "\"4\"", "all 6 experts that are left", "none for expert 5"),
    (
      "\"0-1\", \"layers.1\": \"3, 5\", \"layers.2\": \"6-7\", \"layers.3\": \"2, 4\"",
      "\"0-6\", \"layers.1\": \"0-6\", \"layers.2\": \"0-6\", \"layers.3\": \"0-6\"",
      "at most 6 of 8 experts", "7"
    ),
    (
      "{\"layers.0\": \"0-1\", \"layers.1\": \"3, 5\", \"layers.2\": \"6-7\", \"layers.3\": \"2, 4\"}", "[2]",
      "an object with a line for each layer", "an array"
    ),
  ])
  func brokenEditsAreRefused(_ old: String, _ new: String, _ expected: String, _ found: String) throws {
    let model = try Nano.model()
    try #require(Self.plan.contains(old))
    try Nano.temporary(Self.plan.replacingOccurrences(of: old, with: new)) { path in
      let error = try #require(throws: FormatError.self) {
        try PlanFile.read(path).plan(for: model, path: path)
      }
      #expect("\(error)".contains(expected) && "\(error)".contains(found), "\(error)")
    }
  }

  @Test func sensitivitiesReadBack() throws {
    let model = try Nano.model()
    let sensitivity = try Self.sensitivity(model)
    try Nano.temporary(sensitivity.text) { path in
      let read = try Sensitivity.read(path, for: model)
      #expect(read.text == sensitivity.text && read.drops == sensitivity.drops)
    }
    let old = try Nano.sensitivity(model, format: "ingot")
    try Nano.temporary(old.text) { path in
      let read = try Sensitivity.read(path, for: model)
      #expect(read.drops == nil && read.text == old.text)
    }
    for (key, other) in [
      ("\"counts\": [1, 2, 4, 6]", "\"counts\": [1, 2, 4, 8]"), ("\"scores\": [", "\"scores\": [-"),
    ] {
      let text = sensitivity.text
      try #require(text.contains(key) || text.contains(key.replacingOccurrences(of: ", ", with: ",")))
      let broken = text.replacingOccurrences(of: key, with: other)
        .replacingOccurrences(
          of: key.replacingOccurrences(of: ", ", with: ","),
          with: other.replacingOccurrences(of: ", ", with: ","))
      try Nano.temporary(broken) { path in
        #expect(throws: FormatError.self) { try Sensitivity.read(path, for: model) }
      }
    }
  }

  @Test func sharesGoAsTheErrorsOfOutputs() throws {
    var measured = Sensitivity.Measurements()
    var layer = Sensitivity.Dropped(
      scores: [3, 1, 2, 4], squares: [9, 1, 4, 16], counts: [1, 2], outputs: [10, 40], carried: 1)
    layer.divergence = .init(mean: 0.02, standardError: nil)
    measured.dropped = [layer]
    let drops = try #require(Sensitivity.drops(measured).first)
    #expect(abs(drops.errors[0] - 0.02) < 1e-15 && abs(drops.errors[1] - 0.08) < 1e-15)
    #expect(drops.order == [1, 2, 0, 3])
  }
}
