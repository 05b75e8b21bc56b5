import Foundation
import IngotSystem
import IngotTensors
import Testing

/// From sensitivity to a verified artifact, as a user would go.
@Suite struct PlanTests {
  static func sensitivity(_ output: String, _ more: String...) -> [String] {
    [
      "sensitivity", Command.nano, "--text", CalibrateTests.text, CalibrateTests.code, "-o", output,
      "--context",
      "32", "--chunks", "2", "--candidates", "int3 g32 zero f16",
    ] + more
  }

  /// Those of the tests that need no trellis codes, whose search takes long without optimization.
  private static let soon = ["--exclude", "trellis"]

  @Test func trellisCodesAreChosenUnlessExcluded() throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    let (sens, plan, out) = (folder + "/x.sens", folder + "/plan.json", folder + "/x.ingot")
    let measured = try Command.run(
      "sensitivity", Command.nano, "--text", CalibrateTests.text, "-o", sens, "--context", "32", "--chunks",
      "1",
      "--json")
    let mixedPlans = try #require(try measured.json()["mixtures"]?.array, "\(measured.error)")
    #expect(mixedPlans.count == 5, "one more than for formats of no such few bits")
    func planned(_ more: String...) throws -> (json: JSON, hasTrellis: Bool) {
      let outcome = try Command.run(
        ["plan", Command.nano, "--sensitivity", sens, "--bits", "2.9", "-o", plan, "--json", "--force"] + more
      )
      #expect(outcome.status == 0, "\(outcome.error)")
      let text = try String(contentsOfFile: plan, encoding: .utf8)
      // Other lines compare the plan with an encoding everywhere.
      let lines = text.split(separator: "\n").filter { !$0.contains("\"encoding\"") }
      return (try outcome.json(), lines.contains { $0.contains("trellis-") })
    }
    let without = try planned("--exclude", "trellis", "int2 g32")
    #expect(!without.hasTrellis)
    let with = try planned()
    #expect(with.hasTrellis)
    let (ours, others) = (
      with.json["klDivergence"]?["mean"]?.double, without.json["klDivergence"]?["mean"]?.double
    )
    #expect(try #require(ours) < 0.8 * #require(others), "\(ours ?? 0), \(others ?? 0)")
    let quantized = try Command.run("quantize", Command.nano, "--plan", plan, "-o", out, "--json")
    #expect(try quantized.json()["bytes"]?.int == with.json["bytes"]?.int, "\(quantized.error)")
    let verified = try Command.run(
      "verify", out, "--against", Command.nano, "--plan", plan, "--text", CalibrateTests.text, "--context",
      "32",
      "--chunks", "2", "--json")
    #expect(try verified.json()["plan"]?["otherEncodings"]?.int == 0, "\(verified.error)")
    #expect(try verified.json()["klDivergence"]?["contexts"]?.array?.count == 2)
    let wrong = try Command.run(
      "plan", Command.nano, "--sensitivity", sens, "--bits", "3", "--exclude", "trelis")
    #expect(wrong.status == 64 && wrong.error.contains("'trelis'"), "\(wrong.error)")
  }

  @Test func roadFromSensitivityToVerify() throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    let (sens, plan, out) = (folder + "/x.sens", folder + "/plan.json", folder + "/x.ingot")
    let measured = try Command.run(Self.sensitivity(sens, "--json") + Self.soon)
    #expect(measured.status == 0, "\(measured.error)")
    #expect(try measured.json()["uniform"]?.array?.count == 3)
    let mixedPlans = try #require(try measured.json()["mixtures"]?.array)
    #expect(mixedPlans.map { $0["format"]?.string } == ["ingot", "ingot", "ingot", "ingot"])
    let found = mixedPlans.compactMap { $0["klDivergence"]?.double }
    #expect(found.count == 4 && found == found.sorted(by: >) && found[3] > 0, "\(found)")
    // Two contexts of each text choose; four others judge.
    #expect(mixedPlans.allSatisfy { $0["tokens"]?.int == 2 * 4 * 32 })
    let planned = try Command.run(
      "plan", Command.nano, "--sensitivity", sens, "--size", "5.5MB", "-o", plan, "--json")
    #expect(planned.status == 0, "\(planned.error)")
    let bytes = try #require(try planned.json()["bytes"]?.int)
    #expect(bytes <= 5_500_000 && bytes > 5_300_000)
    #expect(try #require(try planned.json()["gap"]?.double) <= 0.005)
    let quantized = try Command.run("quantize", Command.nano, "--plan", plan, "-o", out, "--json")
    #expect(try quantized.json()["bytes"]?.int == bytes, "\(quantized.error)")
    let verified = try Command.run(
      "verify", out, "--against", Command.nano, "--plan", plan, "--text", CalibrateTests.text,
      CalibrateTests.code,
      "--context", "32", "--chunks", "2", "--json")
    let outcome = try #require(try verified.json()["plan"])
    #expect(outcome["bytes"]?["found"]?.int == bytes && outcome["otherEncodings"]?.int == 0)
    #expect(verified.status == (outcome["inInterval"] == true ? 0 : 2) || verified.status == 0)
    // Our own forward pass is what runs .ingot.
    let own = try Command.run(
      "plan", Command.nano, "--sensitivity", sens, "--fit", "400MB", "--context", "64")
    #expect(own.status == 0 && own.output.contains("with ingot:"), "\(own.error)")
    // Another artifact is not this plan's.
    let other = folder + "/other.ingot"
    #expect(try Command.run("quantize", Command.nano, "-o", other).status == 0)
    let wrong = try Command.run(
      "verify", other, "--against", Command.nano, "--plan", plan, "--text", CalibrateTests.text, "--context",
      "32",
      "--chunks", "1")
    #expect(wrong.status == 2 && wrong.error.contains("planned were"), "\(wrong.error)")
  }

  /// The artifact says what statistics its codes come from, and the plan counts that.
  @Test(arguments: ["gguf", "mlx"])
  func calibratedSizesAreExact(_ format: String) throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    let (statistics, sens, plan) = (folder + "/x.calib", folder + "/x.sens", folder + "/plan.json")
    let calibrated = try Command.run(
      "calibrate", Command.nano, "--text", CalibrateTests.text, "--context", "64", "--chunks", "4", "-o",
      statistics)
    #expect(calibrated.status == 0, "\(calibrated.error)")
    let measured = try Command.run(
      "sensitivity", Command.nano, "--text", CalibrateTests.text, "--context", "32", "--chunks", "1",
      "--importance", statistics, "--sample", "1", "--quick", "--format", format, "-o", sens)
    #expect(measured.status == 0, "\(measured.error)")
    let bits = format == "gguf" ? "5.5" : "3.9"
    let planned = try Command.run(
      "plan", Command.nano, "--sensitivity", sens, "--format", format, "--bits", bits, "-o", plan, "--json")
    let bytes = try #require(try planned.json()["bytes"]?.int, "\(planned.error)")
    let quantized = try Command.run(
      "quantize", Command.nano, "--plan", plan, "--importance", statistics, "-o", folder + "/out.\(format)",
      "--json")
    #expect(try quantized.json()["bytes"]?.int == bytes, "\(quantized.error)")
    #expect(try Command.run("plan", Command.nano, "--plan", plan, "--json").json()["bytes"]?.int == bytes)
  }

  @Test func plansForMachinesAndEditedOnes() throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    let (sens, plan, next) = (folder + "/x.sens", folder + "/plan.json", folder + "/next.json")
    #expect(try Command.run(Self.sensitivity(sens, "--format", "gguf")).status == 0)
    // A file's headers are longer with some choices: whatever the size, one is found that is no larger.
    for size in stride(from: 3_600_000, to: 4_500_000, by: 21_377) {
      let sized = try Command.run(
        "plan", Command.nano, "--sensitivity", sens, "--size", "\(size)", "--format", "gguf", "--json")
      let bytes = try #require(try sized.json()["bytes"]?.int, "\(size): \(sized.error)")
      #expect(bytes <= size && bytes > size - 40_000, "\(size)")
    }
    let fit = try Command.run(
      "plan", Command.nano, "--sensitivity", sens, "--fit", "800MB", "--context", "64", "--format", "gguf",
      "-o", plan)
    #expect(fit.status == 0 && fit.output.contains("to spare"), "\(fit.error)")
    #expect(
      fit.output.split(separator: "\n").allSatisfy { $0.count <= 100 || $0.contains("ingot quantize") },
      "\(fit.output)")
    let text = try String(contentsOfFile: plan, encoding: .utf8)
    let line = try #require(text.split(separator: "\n").first { $0.contains("\"head\": \"") })
    let edited = text.replacingOccurrences(of: line, with: "    \"head\": \"q5_k\"")
    try edited.write(toFile: plan, atomically: true, encoding: .utf8)
    let stale = try Command.run("plan", Command.nano, "--plan", plan, "--json")
    #expect(try stale.json()["klDivergence"] == nil, "an edited plan has no prediction")
    let fresh = try Command.run(
      "plan", Command.nano, "--plan", plan, "--sensitivity", sens, "-o", next, "--json")
    #expect(try fresh.json()["klDivergence"]?["mean"]?.double != nil, "\(fresh.error)")
    #expect(try Command.run("plan", Command.nano, "--plan", next, "--json").json()["klDivergence"] != nil)
  }

  @Test func sameSensitivityForAnyWorkersAndAfterAStop() throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    let (whole, path) = (folder + "/whole.sens", folder + "/x.sens")
    #expect(try Command.run(Self.sensitivity(whole, "--workers", "1") + Self.soon).status == 0)
    // Told to stop as soon as it has begun, it ends behind a layer.
    let script = """
      "$0" "$@" & while ! [ -e \(path).partial.pass.journal ] && kill -0 $!; do :; done; kill -TERM $!; wait $!
      """
    let stopped = try Command.run(
      ["-c", script, Command.executable.path] + Self.sensitivity(path, "--workers", "3") + Self.soon,
      program: URL(fileURLWithPath: "/bin/bash"))
    #expect(stopped.status == 75, "\(stopped.error)")
    #expect(Folder.kind(path) == .nothing)
    #expect(try Command.run(Self.sensitivity(path, "--workers", "2") + Self.soon).status == 0)
    #expect(try CalibrateTests.bytes(path) == CalibrateTests.bytes(whole))
    #expect(try Folder.names(folder) == ["whole.sens", "x.sens"])
    // Told to stop while plans are on their way through the model, it goes on with these.
    let late = folder + "/late.sens"
    let lateScript = script.replacingOccurrences(
      of: "[ -e \(path).partial.pass.journal ]",
      with: "{ [ -e \(late).partial.pass.journal ] && [[ $(<\(late).partial.pass.journal) == *slot* ]]; }")
    let stoppedLate = try Command.run(
      ["-c", lateScript, Command.executable.path] + Self.sensitivity(late, "--workers", "2") + Self.soon,
      program: URL(fileURLWithPath: "/bin/bash"))
    #expect(stoppedLate.status == 75, "\(stoppedLate.error)")
    #expect(try Folder.names(folder).contains { $0.hasPrefix("late.sens.partial.pass.mixtures.") })
    #expect(try Command.run(Self.sensitivity(late, "--workers", "1") + Self.soon).status == 0)
    #expect(try CalibrateTests.bytes(late) == CalibrateTests.bytes(whole))
    #expect(try Folder.names(folder) == ["late.sens", "whole.sens", "x.sens"])
  }

  @Test(arguments: [
    (["--bits", "4"], "--sensitivity"), (["--sensitivity", "x"], "one of --bits"),
    (["--sensitivity", "x", "--bits", "4", "--size", "3MB"], "exclude"),
    (["--sensitivity", "x", "--bits", "0"], "above 0"),
    (["--plan", "x", "--recipe", "int4"], "exclude"), (["--allow-drop"], "--sensitivity"),
    (["--sensitivity", "x", "--plan", "x", "--allow-drop"], "exclude"),
    (["--sensitivity", "x", "--recipe", "int4"], "--allow-drop N"),
    (["--sensitivity", "x", "--recipe", "int4", "--allow-drop"], "--allow-drop N"),
    (["--sensitivity", "x", "--bits", "4", "--allow-drop", "-1"], "-1"),
    (["--sensitivity", "x", "--bits", "4", "--allow-drop", "1.5"], "1.5"),
  ])
  func usageFaults(_ arguments: [String], _ message: String) throws {
    let outcome = try Command.run(["plan", Command.nano] + arguments)
    #expect(outcome.status == 64 && outcome.error.contains(message), "\(outcome.error)")
  }

  /// What fits nothing says why, and what to ask for instead.
  @Test(arguments: [
    ("m2-nano", ["--engine", "MLX", "--format", "gguf"], ["MLX does not load gguf", "(mlx)", "llama.cpp"]),
    (
      "m2-nano", ["--engine", "vLLM", "--format", "safetensors"],
      ["no built-in recipe is for safetensors", "gguf, mlx"]
    ),
    (
      "m2-nano", ["--format", "mlx", "--machine", "8x24"],
      ["MLX does not run on 8x24", "llama.cpp, vLLM", "mac-96"]
    ),
    (
      "m2-nano", ["--engine", "ingot", "--machine", "8x24"],
      ["a format that ingot loads", "llama.cpp", "vLLM"]
    ),
    (
      "families/qwen3_moe-raw", ["--format", "gptq"],
      ["no built-in recipe for gptq", "recipe int4", ".ingot", "no engine and format"]
    ),
    ("m2-nano", ["--context", "1000000000"], ["the model's longest is", "where none is given"]),
  ])
  func nothingFitsAndWhatWould(_ model: String, _ arguments: [String], _ words: [String]) throws {
    let fixtures = Command.repository.appending(path: "Tests/Fixtures").path
    let outcome = try Command.run(["plan", "\(fixtures)/\(model)"] + arguments)
    #expect(outcome.status == 64, "\(outcome.output) \(outcome.error)")
    for word in words { #expect(outcome.error.contains(word), "\(word): \(outcome.error)") }
  }

  @Test func fewerExpertsWhereThatIsBetter() throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    let (sens, plan, out, page) = (
      folder + "/x.sens", folder + "/plan.json", folder + "/x.ingot", folder + "/plan.html"
    )
    #expect(try Command.run(Self.sensitivity(sens) + Self.soon).status == 0)
    // The option takes no number that is another option's.
    #expect(
      try Command.run("plan", Command.nano, "--allow-drop", "--sensitivity", sens, "--bits", "4").status == 0)
    func predicted(_ bits: String, _ more: String...) throws -> Double {
      let outcome = try Command.run(
        ["plan", Command.nano, "--sensitivity", sens, "--bits", bits, "--json"] + more)
      return try #require(try outcome.json()["klDivergence"]?["mean"]?.double, "\(outcome.error)")
    }
    for bits in ["3.4", "4", "6"] {
      #expect(try predicted(bits, "--allow-drop") <= predicted(bits), "never worse by its own figures")
    }
    // A file of so many bytes: what is not tensors is less with fewer experts.
    func sized(_ more: String...) throws -> JSON {
      try Command.run(["plan", Command.nano, "--sensitivity", sens, "--size", "4.2MB", "--json"] + more)
        .json()
    }
    let (whole, some) = (try sized(), try sized("--allow-drop"))
    #expect(try #require(some["bytes"]?.int) <= 4_200_000)
    if let without = whole["klDivergence"]?["mean"]?.double {
      #expect(try #require(some["klDivergence"]?["mean"]?.double) <= without)
    }
    // Below the smallest encoding there is nothing else.
    let low = try Command.run("plan", Command.nano, "--sensitivity", sens, "--bits", "2.1")
    #expect(low.status == 1 && low.error.contains("nothing fits"))
    let planned = try Command.run(
      "plan", Command.nano, "--sensitivity", sens, "--bits", "2.1", "--allow-drop", "25%", "-o", plan,
      "--html",
      page, "--json")
    #expect(planned.status == 0, "\(planned.error)")
    #expect(try planned.json()["experts"]?.int == 6)
    #expect(try planned.json()["droppedExperts"]?.array?.count == 4)
    let shown = try Command.run("plan", Command.nano, "--plan", plan, "--sensitivity", sens)
    #expect(shown.output.contains("2 of 8 experts of every layer left out: 6 stay"), "\(shown.error)")
    #expect(try String(contentsOfFile: page, encoding: .utf8).contains("left out"))
    let quantized = try Command.run("quantize", Command.nano, "--plan", plan, "-o", out, "--json")
    #expect(try quantized.json()["bytes"] == planned.json()["bytes"], "\(quantized.error)")
    #expect(try Command.run("check", out).status == 0)
    let inspected = try Command.run("inspect", out, "--claim", "experts=6", "--json")
    #expect(inspected.status == 0)
    #expect(try inspected.json()["experts"]?["dropped"] == planned.json()["droppedExperts"])
    let verified = try Command.run(
      "verify", out, "--against", Command.nano, "--plan", plan, "--text", CalibrateTests.text, "--context",
      "32",
      "--chunks", "2", "--json")
    #expect(try verified.json()["plan"]?["otherEncodings"]?.int == 0, "\(verified.error)")
    #expect(!verified.error.contains("left out"), "\(verified.error)")
    // Another plan's experts are not these.
    let text = try String(contentsOfFile: plan, encoding: .utf8)
    let line = try #require(text.split(separator: "\n").first { $0.contains("\"layers.0\": \"") })
    let edited = text.replacingOccurrences(of: line, with: "    \"layers.0\": \"0\",")
    try edited.write(toFile: plan, atomically: true, encoding: .utf8)
    let wrong = try Command.run("quantize", Command.nano, "--plan", plan, "-o", out, "--force")
    #expect(wrong.status == 1 && wrong.error.contains("2 experts for \"layers.0\""), "\(wrong.error)")
  }

  /// Formats of one encoding have plans of fewer experts too.
  @Test(arguments: [("gptq-4bit", "gptq"), ("awq-4bit", "awq"), ("keep", "safetensors"), ("mlx-4bit", "mlx")])
  func recipesForFewerExperts(_ recipe: String, _ format: String) throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    let (sens, plan, out) = (folder + "/x.sens", folder + "/plan.json", folder + "/out")
    #expect(try Command.run(Self.sensitivity(sens) + Self.soon).status == 0)
    var recipe = recipe
    if recipe == "keep" {
      recipe = folder + "/keep.yaml"
      try "name: keep\nrules:\n  - encoding: keep\n".write(toFile: recipe, atomically: true, encoding: .utf8)
    }
    let planned = try Command.run(
      "plan", Command.nano, "--sensitivity", sens, "--recipe", recipe, "--format", format, "--allow-drop",
      "3",
      "-o", plan, "--json")
    #expect(planned.status == 0, "\(planned.error)")
    #expect((try planned.json()["klDivergence"]?["mean"]?.double != nil) == (format == "safetensors"))
    let made = try Command.run("quantize", Command.nano, "--plan", plan, "-o", out, "--json")
    #expect(try made.json()["bytes"] == planned.json()["bytes"] && made.json()["format"] == .string(format))
    let inspected = try Command.run("inspect", out, "--claim", "experts=5", "--json")
    #expect(inspected.status == 0, "\(inspected.output)")
    let verified = try Command.run(
      "verify", out, "--against", Command.nano, "--plan", plan, "--text", CalibrateTests.text, "--context",
      "32",
      "--chunks", "1")
    #expect(verified.output.contains("equal") && !verified.error.contains("left out"), "\(verified.error)")
  }

  /// Statistics of the whole model serve what is left of it.
  @Test func calibratedWithFewerExperts() throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    let (sens, plan, calib, imatrix) = (
      folder + "/x.sens", folder + "/plan.json", folder + "/x.calib", folder + "/imatrix.gguf"
    )
    #expect(try Command.run(Self.sensitivity(sens) + Self.soon).status == 0)
    for path in [calib, imatrix] {
      let gathered = try Command.run(
        "calibrate", Command.nano, "--text", CalibrateTests.text, "--context", "64", "--chunks", "3", "-o",
        path)
      #expect(gathered.status == 0, "\(gathered.error)")
    }
    #expect(
      try Command.run(
        "plan", Command.nano, "--sensitivity", sens, "--bits", "3", "--allow-drop", "2", "-o", plan
      ).status == 0)
    func divergence(_ more: String...) throws -> Double {
      let out = folder + "/x.ingot"
      let made = try Command.run(
        ["quantize", Command.nano, "--plan", plan, "-o", out, "--force", "--json"] + more)
      #expect(made.status == 0, "\(made.error)")
      #expect(!made.error.contains("are not in it"), "\(made.error)")
      let verified = try Command.run(
        "verify", out, "--against", Command.nano, "--text", CalibrateTests.text, "--context", "64",
        "--chunks", "3",
        "--json")
      return try #require(try verified.json()["klDivergence"]?["mean"]?.double, "\(verified.error)")
    }
    let plain = try divergence()
    #expect(try divergence("--importance", imatrix) < 1.2 * plain)
    #expect(try divergence("--importance", calib) < plain, "on the very text it was calibrated on")
    #expect(try divergence("--importance", calib, "--sequential", CalibrateTests.text) < plain)
  }

  @Test func oldSensitivitiesAreReadButForDropping() throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    let sens = folder + "/x.sens"
    #expect(try Command.run(Self.sensitivity(sens) + Self.soon).status == 0)
    let json = try JSON.parse(Array(String(contentsOfFile: sens, encoding: .utf8).utf8), path: sens)
    var object = try #require(json.object)
    object["drops"] = nil
    try JSON.object(object).text().write(toFile: sens, atomically: true, encoding: .utf8)
    let arguments = ["plan", Command.nano, "--sensitivity", sens, "--bits", "4"]
    #expect(try Command.run(arguments).status == 0)
    let refused = try Command.run(arguments + ["--allow-drop"])
    #expect(refused.status == 1 && refused.error.contains("sensitivity file"), "\(refused.error)")
  }

  @Test func formatsOfOneEncodingHaveNothingToPlan() throws {
    let outcome = try Command.run(
      "plan", Command.nano, "--sensitivity", "x", "--bits", "4", "--format", "awq")
    #expect(outcome.status == 64 && outcome.error.contains("nothing to plan"), "\(outcome.error)")
  }
}
