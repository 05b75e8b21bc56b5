import Foundation
import IngotFormats
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors
import Testing

/// Files that load without a complaint elsewhere, and give wrong numbers: zeros of a broken download, zero points under the
/// wrong label, transforms that nobody applies.
@Suite struct SilentFaultTests {
  private func shard(_ folder: String) throws -> String {
    folder + "/" + (try #require(Folder.names(folder).sorted().last { $0.hasSuffix(".safetensors") }))
  }

  private func zero(_ range: Range<Int>, of path: String) throws {
    var bytes = try contents(path)
    for index in range { bytes[index] = 0 }
    try Data(bytes).write(to: URL(filePath: path))
  }

  @Test func brokenDownloadIsNamed() async throws {
    let scratch = try Scratch()
    let folder = try scratch.copy(Fixture.nano, to: "nano")
    #expect(await Format.check(folder, workers: 2).problems.isEmpty)
    #expect(await Format.check(folder, workers: 2).warnings.isEmpty)
    let path = try shard(folder)
    let size = try contents(path).count
    // Not where a row ends.
    try zero(size / 2 + 13..<size, of: path)
    let report = await Format.check(folder, workers: 2)
    let problem = try #require(report.problems.first { $0.what.contains("zero") })
    #expect(problem.path == path && problem.tensor != nil && problem.what.contains("download"))
    for exhaustive in [false, true] {
      let runs = await ZeroRuns.find(in: [path], exhaustive: exhaustive, workers: 1)
      #expect(runs.contains { $0.isFault && $0.range.upperBound == size }, "\(exhaustive)")
    }
  }

  @Test func holeInAFileIsFound() async throws {
    let scratch = try Scratch()
    let folder = try scratch.copy(Fixture.nano, to: "nano")
    let path = try shard(folder)
    let entry = try #require(
      SafeTensorsHeader(path: path).entries.filter { $0.shape.count == 2 }.max {
        $0.range.count < $1.range.count
      })
    let start = entry.range.lowerBound + 129
    try zero(start..<start + 9000, of: path)
    let runs = await ZeroRuns.find(in: [path], exhaustive: false, workers: 1)
    let run = try #require(runs.first)
    #expect(run.isFault && run.tensor == entry.name && run.range.contains(start + 100))
  }

  @Test func zeroExpertIsAWarning() async throws {
    let scratch = try Scratch()
    let folder = try scratch.copy(Fixture.nano, to: "nano")
    let path = folder + "/model-00002-of-00004.safetensors"
    let entry = try #require(
      SafeTensorsHeader(path: path).entries.first {
        $0.name.hasSuffix(".weight") && $0.name.contains(".experts.")
      })
    try zero(entry.range, of: path)
    let report = await Format.check(folder, workers: 2)
    #expect(report.problems.isEmpty)
    #expect(report.warnings.count == 1 && report.warnings[0].contains(entry.name))
  }

  /// Symmetric zero points tell which layout they are of, whatever the label.
  @Test func zeroPointsUnderTheOtherLabel() async throws {
    let scratch = try Scratch()
    let made = try await PackedFormatsTests.write(try Recipe.named("gptq-4bit"), "gptq", scratch("out"))
    let role = Role(.down, layer: 1, expert: 3)
    let wanted = try #require(made[role]).floats()
    let path = scratch("out/config.json")
    let text = String(decoding: try contents(path), as: UTF8.self)
    #expect(text.contains("\"checkpoint_format\": \"gptq\""))
    try scratch.write(
      "out/config.json",
      Array(
        text.replacing("\"checkpoint_format\": \"gptq\"", with: "\"checkpoint_format\": \"gptq_v2\"").utf8))
    let read = try Model.read(scratch("out"))
    #expect(try read[role]?.floats() == wanted)
    // The same zero points in an asymmetric checkpoint would be off by a step.
    let other = String(decoding: try contents(path), as: UTF8.self).replacing(
      "\"sym\": true", with: "\"sym\": false")
    try scratch.write("out/config.json", Array(other.utf8))
    let error = #expect(throws: FormatError.self) { try Model.read(scratch("out")) }
    #expect(error?.expected.contains("checkpoint_format") == true && error?.found.contains("sym") == true)
  }

  @Test(arguments: [
    (#""transform_config": {"config_groups": {"R3": {"apply": [{"location": "q_attn"}]}}}"#, false),
    (#""transform_config": {"config_groups": {"R1": {"apply": [{"location": "weight_input"}]}}}"#, true),
    (#""transform_config": {"config_groups": {}}"#, true), (#""transform_config": null"#, true),
    (#""rotation_config": {"mode": "hadamard"}"#, false), (#""rotation": true"#, false),
    (#""rotation": false"#, true),
  ])
  func announcedTransforms(_ entry: String, _ isFine: Bool) throws {
    let scratch = try Scratch()
    let folder = try scratch.copy(Fixture.nano, to: "nano")
    let text = String(decoding: try contents(folder + "/config.json"), as: UTF8.self)
    let brace = try #require(text.firstIndex(of: "{"))
    try scratch.write("nano/config.json", Array(("{" + entry + "," + text[text.index(after: brace)...]).utf8))
    if isFine {
      _ = try Model.read(folder)
    } else {
      let error = #expect(throws: FormatError.self) { try Model.read(folder) }
      #expect(error?.path.hasSuffix("config.json") == true)
    }
  }

  @Test func textConfigMustAgree() throws {
    func config(_ text: String) throws -> Config { try Config(Array(text.utf8), path: "config.json") }
    let merged = try config(#"{"hidden_size": 8, "text_config": {"hidden_size": 8.0, "vocab_size": 3}}"#)
      .text()
    #expect(merged["vocab_size"]?.int == 3)
    let error = #expect(throws: FormatError.self) {
      try config(#"{"rope_theta": 10000, "text_config": {"rope_theta": 5000000}}"#).text()
    }
    #expect(error?.expected.hasPrefix("rope_theta") == true)
    #expect(error?.found == "10000 and 5000000")
    // What is no number of the forward pass may differ.
    _ = try config(#"{"dtype": "bfloat16", "text_config": {"dtype": "float32"}}"#).text()
  }
}
