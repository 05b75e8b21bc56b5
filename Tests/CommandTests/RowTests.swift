import Foundation
import IngotSystem
import IngotTensors
import Testing

/// Rows that blocks and groups do not divide: something that fits is taken and said, before the run and by it.
@Suite struct RowTests {
  private static let families = Command.repository.appending(path: "Tests/Fixtures/families").path
  /// Rows of 96, 64 and 192; of 60, 44, 100 and 120; of 64, 40 and 96; of 48, 96.
  private static let models = ["llama-plain", "qwen3_moe-raw", "qwen3_moe-step", "llama-mha"]
  private static let recipes = [
    ("mlx-4bit", "mlx"), ("mlx-mxfp4", "mlx"), ("w4a16", "compressed-tensors"),
    ("mxfp4", "compressed-tensors"),
    ("nvfp4", "compressed-tensors"), ("gptq-4bit", "gptq"), ("awq-4bit", "awq"), ("int4", "ingot"),
  ]

  /// What was asked for and taken, by columns.
  private func fallbacks(_ json: JSON) -> [String] {
    (json["fallbacks"]?.array ?? []).map {
      "\($0["asked"]?.string ?? "") > \($0["taken"]?.string ?? "") \($0["columns"]?.int ?? 0)"
    }.sorted()
  }

  @Test(arguments: models) func everyRecipeFitsOrSaysWhatDoes(_ name: String) throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    let model = "\(Self.families)/\(name)"
    for (recipe, format) in Self.recipes {
      let output = folder + "/" + recipe + (format == "ingot" ? ".ingot" : "")
      let planned = try Command.run("plan", model, "--recipe", recipe, "--json")
      let made = try Command.run("quantize", model, "--recipe", recipe, "-o", output, "--json")
      #expect(planned.status == made.status, "\(name) \(recipe): \(planned.error) \(made.error)")
      guard made.status == 0 else {
        // Nothing of the model fits the format; another one takes it.
        for error in [planned.error, made.error] {
          #expect(error.contains(".ingot") && error.contains("int4"), "\(name) \(recipe): \(error)")
          #expect(!error.contains("'\(recipe)' does this"), "\(name) \(recipe): \(error)")
        }
        #expect(Folder.kind(output) == .nothing)
        continue
      }
      let (plan, result) = (try planned.json(), try made.json())
      #expect(plan["bytes"]?.int == result["bytes"]?.int, "\(name) \(recipe)")
      #expect(fallbacks(plan) == fallbacks(result), "\(name) \(recipe)")
      // Blocks of 16 and 32 divide some of these rows.
      if !recipe.contains("fp4") {
        #expect(fallbacks(plan).isEmpty == (format == "ingot"), "\(name) \(recipe): \(fallbacks(plan))")
      }
      for line in fallbacks(result) {
        let taken = line.components(separatedBy: " > ")[1]
        let words = taken.split(separator: " ").dropLast().joined(separator: " ")
        #expect(made.error.contains("\(words) instead of "), "\(name) \(recipe): \(made.error)")
      }
      let read = try Command.run("check", output)
      #expect(read.status == 0, "\(name) \(recipe): \(read.error)")
    }
  }

  @Test(arguments: [
    ("llama-plain", "mlx-4bit", ["int4 g64 bias bf16 > int4 g32 bias bf16 96"]),
    (
      "llama-mha", "mlx-4bit", ["int4 g64 bias bf16 > f32 48", "int4 g64 bias bf16 > int4 g32 bias bf16 96"]
    ),
    (
      "llama-plain", "w4a16",
      [
        "int4 g128 sym bf16 > int4 g32 sym bf16 96", "int4 g128 sym bf16 > int4 g64 sym bf16 192",
        "int4 g128 sym bf16 > int4 g64 sym bf16 64",
      ]
    ),
    // One scheme for all.
    (
      "llama-plain", "gptq-4bit",
      [192, 64, 96].map { "int4 g128 sym f16 > int4 g32 sym f16 \($0)" }
    ),
    (
      "llama-plain", "q4_k_m",
      ["q4_k > q5_0 192", "q4_k > q5_0 64", "q4_k > q5_0 96", "q6_k > q8_0 64", "q6_k > q8_0 96"]
    ),
    ("llama-mha", "q4_k_pure", ["q4_k > f16 48", "q4_k > q5_0 96"]),
    ("llama-mha", "q4_0_pure", ["q4_0 > f16 48"]),
  ]) func whatIsTaken(_ name: String, _ recipe: String, _ expected: [String]) throws {
    let planned = try Command.run(
      "plan", "\(Self.families)/\(name)", "--recipe", recipe, "--format", "ingot", "--json")
    let own = try Command.run("plan", "\(Self.families)/\(name)", "--recipe", recipe, "--json")
    // The types of ggml go by their blocks in any format.
    #expect(try fallbacks(recipe.hasPrefix("q") ? planned.json() : own.json()) == expected)
    let table = try Command.run(
      ["plan", "\(Self.families)/\(name)", "--recipe", recipe]
        + (recipe.hasPrefix("q") ? ["--format", "ingot"] : []))
    for line in expected {
      let sides = line.components(separatedBy: " > ")
      let taken = sides[1].split(separator: " ").dropLast().joined(separator: " ")
      #expect(table.output.contains("\(taken) for \(sides[0])"), "\(table.output)")
      #expect(table.output.contains("\(taken) instead of \(sides[0])"), "\(table.output)")
    }
  }

  /// Where no row fits, nothing is written: neither what is wider than the source, nor a half.
  @Test(arguments: [
    ("mlx-4bit", "groups of 64 or 32"), ("q4_0_pure", "groups of 32"), ("gptq-4bit", "groups of 128"),
  ])
  func nothingToQuantizeIsRefused(_ recipe: String, _ groups: String) throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    // Rows of 60, 44, 100 and 120.
    let model = "\(Self.families)/qwen3_moe-raw"
    let output = folder + "/out" + (recipe.hasPrefix("q") ? ".gguf" : "")
    for arguments in [["quantize", model, "-o", output], ["plan", model]] {
      let outcome = try Command.run(arguments + ["--recipe", recipe])
      #expect(outcome.status == 64, "\(arguments): \(outcome.output) \(outcome.error)")
      for word in [recipe, "44", "60", groups, "recipe int4", ".ingot", "ingot convert"] {
        #expect(outcome.error.contains(word), "\(word): \(outcome.error)")
      }
      #expect(!outcome.error.contains("recipe \(recipe) for"), "\(outcome.error)")
    }
    #expect(try Folder.names(folder).isEmpty)
    let kept = try Command.run("convert", model, "-o", folder + "/kept", "--format", "mlx")
    #expect(kept.status == 0, "\(kept.error)")
  }

  /// Experts are stacked by engines: where down projections do not divide, none is quantized.
  @Test func expertsAllOrNone() throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    for recipe in ["gptq-4bit", "awq-4bit"] {
      let output = folder + "/" + recipe
      let made = try Command.run(
        "quantize", "\(Self.families)/qwen3_moe-step", "--recipe", recipe, "-o", output)
      #expect(made.status == 0, "\(recipe): \(made.error)")
      let names = try Command.run("inspect", output, "--tensors", "--json").output
      #expect(!names.contains("experts.0.down_proj.qweight"), "\(names)")
      let config = try String(contentsOfFile: output + "/config.json", encoding: .utf8)
      #expect(config.contains("experts.1.down_proj") && config.contains("experts.1.gate_proj"), "\(config)")
      #expect(!config.contains("q_proj\""), "\(config)")
    }
  }

  /// What mlx_lm.convert does with such rows.
  @Test func asConvertLeavesThem() throws {
    let planned = try Command.run(
      "plan", "\(Self.families)/llama-plain", "--recipe", "mlx-4bit", "--match-mlx", "--json")
    #expect(
      Set(try fallbacks(planned.json())) == ["int4 g64 bias bf16 > \(Self.dense) 96"], "\(planned.output)")
  }

  /// The fixture's own type.
  private static let dense = "f32"

  @Test func listsLeaveOutWhatFitsNothing() throws {
    let listed = try Command.run("plan", "\(Self.families)/qwen3_moe-step", "--json")
    #expect(listed.status == 0, "\(listed.error)")
    #expect(!listed.output.contains("w4a16") && listed.output.contains("mlx-4bit"), "\(listed.output)")
  }
}
