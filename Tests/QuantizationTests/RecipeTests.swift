import Foundation
import IngotFormats
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors
import Testing

let nano = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
  .appending(path: "Fixtures/m2-nano").path

@Suite struct RecipeTests {
  static func plan(_ rules: String) throws -> Plan {
    try Recipe(yaml: "name: mine\nrules:\n" + rules, path: "mine.yaml").plan(for: Model.read(nano))
  }

  @Test func builtInRecipesKeepExactParts() throws {
    let model = try Model.read(nano)
    let ours = Recipe.builtIn.filter { $0.format == nil }
    #expect(
      ours.map(\.name) == [
        "int8", "int4", "int3", "mixed-4-8", "trellis-2", "trellis-2.5", "trellis-3", "trellis-3.5",
        "trellis-4",
      ])
    for recipe in ours {
      let plan = try recipe.plan(for: model)
      #expect(plan.assignments.count == model.tensors.count)
      for tensor in model.tensors {
        let assignment = plan.assignments[tensor.role]!
        let exact = model.blueprint.isExact(tensor.role)
        #expect((assignment.quantizer == nil) == exact, "\(recipe.name): \(tensor.name)")
        if exact { #expect(assignment.encoding == tensor.encoding) }
      }
    }
  }

  @Test func firstMatchingRuleDecides() throws {
    let plan = try Self.plan(
      """
        - {parts: down, experts: 0-1, layers: [0, "2-3"], encoding: int8 g32 sym bf16}
        - {parts: [experts, attention], encoding: int3 g64, quantizer: round-to-nearest}
        - {parts: embedding, encoding: keep}
        - {encoding: bf16}
      """)
    func encoding(_ role: Role) -> String { "\(plan.assignments[role]!.encoding)" }
    #expect(encoding(Role(.down, layer: 0, expert: 1)) == "int8 g32 sym bf16")
    #expect(encoding(Role(.down, layer: 1, expert: 1)) == "int3 g64 zero f16")
    #expect(encoding(Role(.down, layer: 3, expert: 0)) == "int8 g32 sym bf16")
    #expect(encoding(Role(.down, layer: 3, expert: 2)) == "int3 g64 zero f16")
    #expect(plan.assignments[Role(.query, layer: 1)]?.quantizer == "rtn")
    #expect(plan.assignments[Role(.embedding)]?.quantizer == nil)
    #expect(encoding(Role(.head)) == "bf16")
    #expect(encoding(Role(.router, layer: 0)) == "f32")
  }

  /// 13 lines of which each says the one before four times: as a key, years of comparing.
  @Test func aliasesAreRefused() throws {
    var text = "x: &a0 [x, x]\n"
    for level in 1..<14 {
      let before = Array(repeating: "*a\(level - 1)", count: 4).joined(separator: ",")
      text += "x\(level): &a\(level) [\(before)]\n"
    }
    let error = #expect(throws: FormatError.self) {
      _ = try Recipe(yaml: text + "? *a13\n: 1\n", path: "mine.yaml")
    }
    #expect(error?.description.contains("mine.yaml: expected line 1: no anchors") == true)
    for other in ["[&a x]", "'x'&a", "{&a x: y}", "\t&-", "&0 x", "\r&_ x"] {
      #expect(throws: FormatError.self) {
        _ = try Recipe(yaml: "summary: text\n\(other)", path: "mine.yaml")
      }
    }
    let fine = try Recipe(yaml: "summary: Q&A & more\nrules:\n  - encoding: keep\n", path: "mine.yaml")
    #expect(fine.summary == "Q&A & more")
  }

  @Test func unmatchedTensorsAreCarriedThrough() throws {
    let plan = try Self.plan("  - {parts: experts, encoding: int4 g64}\n")
    #expect("\(plan.assignments[Role(.query, layer: 0)]!.encoding)" == "fp8 128x128")
  }

  @Test func rulesForNumbersOfExperts() throws {
    func encodings(_ rules: String) throws -> [String] {
      let plan = try Self.plan(rules)
      return [Role(.key, layer: 0), Role(.query, layer: 0)].map { "\(plan.assignments[$0]!.encoding)" }
    }
    let rules = """
        - {parts: key, expert-count: 8, encoding: bf16}
        - {parts: key, encoding: int8 g32}
        - {encoding: int4 g64}

      """
    #expect(try encodings(rules) == ["bf16", "int4 g64 zero f16"])
    #expect(
      try encodings(rules.replacing("count: 8", with: "count: 7")) == [
        "int8 g32 zero f16", "int4 g64 zero f16",
      ])
  }

  @Test(arguments: [
    ("  - {parts: experts, layers: 9, encoding: int4 g64}", "no tensor that it matches"),
    ("  - {encoding: int4 g64}\n  - {parts: experts, encoding: int8 g64}", "all decided by rules before it"),
    ("  - {parts: router, encoding: int8 g64}", "router to stay exact"),
    ("  - {parts: norms, encoding: f16}", "to stay exact"),
    ("  - {parts: expert, encoding: int4 g64}", "'expert'"), ("  - {encoding: int7 g64}", "'int7 g64'"),
    ("  - {encoding: int4 g24}", "'int4 g24'"), ("  - {encoding: int4}", "'int4'"),
    ("  - {encoding: int4 g64 zero f64}", "'int4 g64 zero f64'"), ("  - {parts: experts}", "an encoding"),
    ("  - {encoding: int4 g64, quantizer: awq}", "'awq'"),
    ("  - {encoding: bf16, quantizer: search}", "'search'"),
    ("  - {encoding: int4 g64, colour: red}", "'colour'"), ("  - {encoding: int4 g64, layers: 3-1}", "'3-1'"),
    ("  - {encoding: int4 g64, experts: -1}", "'-1'"), ("  - {encoding: int4 g64, layers: a}", "'a'"),
    ("  - {encoding: int4 g64, expert-count: 0}", "'0'"),
    ("  - {encoding: int4 g64, expert-count: [8]}", "expert-count"),
    ("  - {parts: [], encoding: int4 g64}", "at least one part"), ("  - int4", "a rule as a mapping"),
    ("  []", "rules"), ("  - {parts: experts, encoding: int4 g64, encoding: int8 g64}", "encoding"),
    ("  - {encoding: [int4]}", "an encoding"), ("  - {encoding: int4 g64", "YAML"),
  ])
  func refusals(_ rules: String, _ words: String) {
    let error = #expect(throws: FormatError.self) { try Self.plan(rules) }
    #expect(error?.description.contains(words) ?? false, "\(words) in: \(error?.description ?? "")")
  }

  @Test(arguments: [
    "bf16", "f16", "f32", "int2 g16 sym f16", "int3 g128 bias bf16", "int4 g64 zero f16", "int5 row sym f32",
    "int6 g96 bias f32", "int8 g32 zero bf16",
  ])
  func encodingNamesReadBack(_ name: String) {
    #expect(Encoding(name: name)?.description == name)
  }

  @Test func planRowsAddUp() throws {
    let model = try Model.read(nano)
    let plan = try Recipe.named("mixed-4-8").plan(for: model)
    let rows = plan.rows(model)
    let quantized = try model.quantized(by: plan)
    #expect(rows.reduce(0) { $0 + $1.bytes } == quantized.bytes)
    #expect(rows.reduce(0) { $0 + $1.tensors } == model.tensors.count)
    #expect(rows.reduce(0) { $0 + $1.parameters } == model.parameters)
  }
}
