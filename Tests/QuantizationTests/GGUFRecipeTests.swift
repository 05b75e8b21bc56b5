import IngotFormats
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors
import Testing

/// Recipes for llama.cpp: types by layer as its own tool chooses them, and the sets of layers they are written with.
@Suite struct GGUFRecipeTests {
  @Test(arguments: [
    ("3", [3]), ("1-2", [1, 2]), ("first 2", [0, 1]), ("last 3", [59, 60, 61]), ("first 1/8", Array(0..<7)),
    ("last 1/8", Array(54..<62)), ("first 1/16", [0, 1, 2]),
    (
      "more-bits",
      [
        0, 1, 2, 3, 4, 5, 6, 9, 12, 15, 18, 21, 24, 27, 30, 33, 36, 39, 42, 45, 48, 51, 54, 55, 56, 57, 58,
        59, 60, 61,
      ]
    ),
  ])
  func layerSets(_ text: String, _ layers: [Int]) throws {
    let set = try #require(LayerSet(text))
    #expect((0..<62).filter { set.contains($0, of: 62) } == layers)
  }

  @Test(arguments: [
    "", "first", "first 0", "first -1", "first 9/8", "first 1/0", "last x", "more", "more-bits 2", "1-", "-1",
    "first 1/2/3", "first 1 2",
  ])
  func noLayerSets(_ text: String) { #expect(LayerSet(text) == nil) }

  /// Types of embedding and head, then by layer of key, value, attention's output and down projections. By hand from
  /// llama.cpp's rules for four layers, as of models that have not exactly eight experts.
  @Test(arguments: [
    (
      "q4_k_m", "q4_k q6_k",
      ["q4_k q4_k q4_k q4_k", "q4_k q4_k q4_k q4_k", "q4_k q6_k q4_k q6_k", "q4_k q6_k q4_k q6_k"]
    ),
    (
      "q4_k_s", "q4_k q6_k",
      ["q4_k q5_k q4_k q4_k", "q4_k q5_k q4_k q4_k", "q4_k q5_k q4_k q4_k", "q4_k q5_k q4_k q4_k"]
    ),
    (
      "q5_k_m", "q5_k q6_k",
      ["q5_k q5_k q5_k q5_k", "q5_k q5_k q5_k q5_k", "q5_k q6_k q5_k q6_k", "q5_k q6_k q5_k q6_k"]
    ),
    (
      "q3_k_m", "q3_k q6_k",
      ["q3_k q5_k q4_k q4_k", "q3_k q5_k q4_k q4_k", "q3_k q4_k q4_k q4_k", "q3_k q4_k q4_k q4_k"]
    ),
    (
      "q2_k", "q2_k q6_k",
      ["q2_k q4_k q3_k q3_k", "q2_k q4_k q3_k q3_k", "q2_k q4_k q3_k q3_k", "q2_k q4_k q3_k q3_k"]
    ),
    (
      "iq3_m", "iq3_s q6_k", [String](repeating: "iq3_s q4_k q4_k iq3_s", count: 4)
    ),
    (
      "iq3_xxs", "iq3_s q5_k", [String](repeating: "iq2_s q4_k iq3_s iq3_xxs", count: 4)
    ),
    (
      "iq2_m", "iq3_s q5_k", [String](repeating: "iq2_s q4_k iq3_s iq2_s", count: 4)
    ),
    (
      "iq1_s", "q2_k q5_k", [String](repeating: "iq1_s q4_k iq2_xxs iq1_s", count: 4)
    ),
    (
      "mxfp4_moe", "q8_0 q8_0",
      ["q8_0 q8_0 q8_0 mxfp4", "q8_0 q8_0 q8_0 mxfp4", "q8_0 q8_0 q8_0 mxfp4", "q8_0 q8_0 q8_0 mxfp4"]
    ),
  ])
  func mixes(_ name: String, _ outer: String, _ layers: [String]) throws {
    // The fixture has eight.
    let recipe = try Recipe(
      yaml: try Recipe.named(name).source.replacing("count: 8", with: "count: 9"), path: name)
    #expect(recipe.format == "gguf")
    let types = try Types(recipe)
    #expect("\(types[.embedding]) \(types[.head])" == outer)
    #expect((0..<4).map(types.ofLayer) == layers)
  }

  @Test(arguments: [
    ("q4_k_m", ["q8_0 q8_0 q5_k q4_k", "q8_0 q8_0 q5_k q4_k", "q8_0 q8_0 q5_k q6_k", "q8_0 q8_0 q5_k q6_k"]),
    ("q4_k_s", [String](repeating: "q8_0 q8_0 q5_k q4_k", count: 4)),
    ("q5_k_m", ["q8_0 q8_0 q5_k q5_k", "q8_0 q8_0 q5_k q5_k", "q8_0 q8_0 q5_k q6_k", "q8_0 q8_0 q5_k q6_k"]),
    ("q6_k", [String](repeating: "q8_0 q8_0 q6_k q6_k", count: 4)),
    ("q3_k_m", [String](repeating: "q8_0 q8_0 q5_k q4_k", count: 4)),
    ("q2_k", [String](repeating: "q8_0 q8_0 q5_k q3_k", count: 4)),
    ("iq4_xs", [String](repeating: "q8_0 q8_0 q5_k iq4_xs", count: 4)),
    ("mxfp4_moe", [String](repeating: "q8_0 q8_0 q8_0 mxfp4", count: 4)),
    ("iq2_xxs", [String](repeating: "q4_k q4_k q5_k iq2_xxs", count: 4)),
    (
      "iq3_m", ["q8_0 q8_0 q5_k iq3_s", "q8_0 q8_0 q5_k iq3_s", "q8_0 q8_0 q5_k q4_k", "q8_0 q8_0 q5_k q4_k"]
    ),
  ])
  func mixesOfEightExperts(_ name: String, _ layers: [String]) throws {
    let types = try Types(Recipe.named(name))
    #expect((0..<4).map(types.ofLayer) == layers)
  }

  /// What a recipe makes of the fixture.
  private struct Types {
    let plan: Plan

    init(_ recipe: Recipe) throws { plan = try recipe.plan(for: Model.read(nano)) }

    subscript(kind: TensorKind, layer: Int? = nil) -> String {
      "\(plan.assignments[Role(kind, layer: layer, expert: kind == .down ? 3 : nil)]!.encoding)"
    }

    func ofLayer(_ layer: Int) -> String {
      [.key, .value, .attentionOutput, .down].map { self[$0, layer] }.joined(separator: " ")
    }
  }

  /// Bits per weight of whole M2 by llama.cpp's mixes: sizes in GB over 228.69e9 weights.
  @Test(arguments: [
    ("q8_0", 243.1), ("q6_k", 187.8), ("q5_k_m", 162.3), ("q4_k_m", 138.3), ("q4_k_s", 130.0),
    ("mxfp4_moe", 123.8),
    ("iq4_xs", 123.2), ("q3_k_m", 109.3), ("q2_k", 83.3), ("iq3_m", 100.0), ("iq3_s", 98.7), ("iq3_xs", 93.3),
    ("iq3_xxs", 87.9), ("iq2_m", 74.8), ("iq2_s", 68.0), ("iq2_xs", 66.9), ("iq2_xxs", 60.1), ("iq1_m", 51.6),
    ("iq1_s", 46.5),
  ])
  func sizesOnM2(_ name: String, _ gigabytes: Double) throws {
    let bits = try #require(try Recipe.named(name).bitsPerWeightOfMiniMaxM2())
    #expect(abs(bits * 228.689764864 / 8 - gigabytes) < 0.06, "\(name): \(bits * 228.689764864 / 8) GB")
  }

  @Test func everyBuiltInRecipeHasASize() {
    for recipe in Recipe.builtIn { #expect(recipe.bitsPerWeightOfMiniMaxM2() != nil, "\(recipe.name)") }
  }
}
