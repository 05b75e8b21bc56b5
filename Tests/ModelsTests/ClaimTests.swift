import Foundation
import IngotFormats
import IngotModels
import IngotSystem
import IngotTensors
import Testing

@Suite struct ClaimTests {
  static let nano = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "Fixtures/m2-nano").path

  /// m2-nano: 8,007,200 values; 2,240,032 active; 4 layers; context 4096.
  @Test(arguments: [
    ("total", "8007200", true), ("total", "8,007,200", true), ("total", "8M", true), ("total", "8.0M", true),
    ("total", "8.01M", true), ("total", "8.1M", false), ("total", "8e6", true), ("total", "9M", false),
    ("total", "8007168", false), ("active", "2.2M", true), ("active", "8M", false), ("layers", "4", true),
    ("layers", "5", false), ("layers", "four", false), ("layers", "-4", false), ("hidden", "256", true),
    ("experts", "8", true), ("activeExperts", "2", true), ("sharedExperts", "0", true),
    ("sharedExperts", "1", false),
    ("heads", "8", true), ("kvHeads", "2", true), ("headDim", "32", true), ("context", "4096", true),
    ("context", "4k", true), ("context", "4.1k", true), ("context", "8k", false),
    ("vocabulary", "2048", true),
    ("ropeTheta", "5000000", true), ("ropeTheta", "5e6", true), ("ropeTheta", "10000", false),
    ("slidingWindow", "none", true), ("slidingWindow", "4096", false), ("qkNorm", "per_layer", true),
    ("qkNorm", "none", false), ("positions", "rotary", true), ("positions", "absolute", false),
    ("license", "MIT", false), ("total", "inf", false), ("total", "nan", false), ("total", "1e999", false),
    ("total", "B", false),
  ])
  func verdicts(_ name: String, _ value: String, _ holds: Bool) throws {
    let summary = ModelSummary(try Model.read(Self.nano))
    let verdict = Claim(name: name, value: value).verdict(summary)
    #expect(verdict.holds == holds, "\(name)=\(value): the files say \(verdict.actual)")
    #expect(!verdict.source.isEmpty && !verdict.actual.isEmpty)
  }

  /// m2-nano: embedding and head have 524,288 values each.
  @Test(arguments: [
    ("2240032", "without embedding and head"), ("2764320", "with the head"),
    ("3288608", "with embedding and head"),
  ])
  func activeIsCountedAsSheetsDo(_ value: String, _ way: String) throws {
    let summary = ModelSummary(try Model.read(Self.nano))
    let verdict = Claim(name: "active", value: value).verdict(summary)
    #expect(verdict.holds && verdict.source.hasSuffix(way), "\(verdict)")
  }

  /// Latent attention has heads too; multi-token prediction may be left out of a total.
  @Test func modelsWithLatentAttention() throws {
    let folder = URL(fileURLWithPath: Self.nano).deletingLastPathComponent().appending(
      path: "families/deepseek_v3-mtp")
    let summary = ModelSummary(try Model.read(folder.path))
    #expect(summary.predictionParameters > 0)
    for total in [summary.total, summary.total - summary.predictionParameters] {
      #expect(Claim(name: "total", value: "\(total)").verdict(summary).holds)
    }
    let heads = try #require(summary.blueprint.headed)
    #expect(heads.heads > 0 && Claim(name: "heads", value: "\(heads.heads)").verdict(summary).holds)
    #expect(!Claim(name: "heads", value: "0").verdict(summary).holds)
  }

  @Test func namesThatAreKeptWhateverTheirCase() {
    for name in ["model.embed_tokens.weight", "backbone.A_log", "x.Norm.weight", "vision_tower.a.weight"] {
      #expect(Family.isKept(name), "\(name)")
    }
    for name in ["model.layers.0.mlp.down_proj.weight", "layers.1.attn.wq.weight", ""] {
      #expect(!Family.isKept(name), "\(name)")
    }
  }

  @Test(arguments: ["total", "=", "total=", "weight=3", ""])
  func noClaims(_ text: String) { #expect(Claim(text) == nil) }

  @Test func digitsInGroups() {
    #expect(grouped(0) == "0" && grouped(999) == "999" && grouped(1000) == "1,000")
    #expect(grouped(-1_234_567) == "-1,234,567" && grouped(228_689_764_864) == "228,689,764,864")
  }
}
