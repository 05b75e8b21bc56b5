import Foundation
import IngotReports
import IngotSystem
import IngotTensors
import Testing

/// Pages of plans: well-formed, carrying their report, the same elements whatever the names are.
@Suite struct PlanPageTests {
  private static func json(_ text: String) throws -> JSON { try JSON.parse(Array(text.utf8), path: "report") }

  private static func model(_ name: String) -> String {
    """
    {"name": \(name), "layers": 2, "experts": 3, "parameters": 1000, "bytes": 1500, "contextLength": 196608}
    """
  }

  private static let parts = """
    {"tensors": 3, "bytes": 750, "groups": [{"group": "experts: up", "bytes": 700, "share": 0.9333,
      "parts": [{"encoding": "int4", "bytes": 500}, {"encoding": "int3", "bytes": 200}]}],
     "encodings": [{"encoding": "int4", "tensors": 2, "bytes": 500, "share": 0.7}], "rows": []}
    """

  /// Each kind of page, made with a name.
  static let pages: [String: @Sendable (String) throws -> (html: String, report: JSON)] = [
    "fits": { name in
      let report = try json(
        """
        {"model": \(model(name)), "cache": "f16", "context": null, "machines": [{"name": \(name), "title": \(name)}],
         "recipes": [{"recipe": \(name), "format": "gguf", "bitsPerWeight": 4.5, "bytes": 700, "ofSource": 0.5,
           "groups": [{"group": "experts", "bytes": 600}, {"group": "head", "bytes": 100}]}],
         "cells": [
           {"machine": \(name), "engine": "llama.cpp", "recipe": \(name), "bitsPerWeight": 4.5, "weights": 700,
            "longestContext": 66559, "left": 5, "onDisk": 0, "diskBound": null},
           {"machine": "slow", "engine": "llama.cpp", "recipe": \(name), "bitsPerWeight": 4.5, "weights": 700,
            "longestContext": null, "left": 5, "onDisk": 9, "diskBound": 3.25},
           {"machine": "none", "engine": "llama.cpp", "recipe": \(name), "bitsPerWeight": 4.5, "weights": 700,
            "longestContext": null, "left": -5, "onDisk": 0, "diskBound": null}]}
        """)
      return (FitPage(report).html, report)
    },
    "machine": { name in
      let report = try json(
        """
        {"model": \(model(name)), "machine": {"name": \(name), "title": \(name)}, "context": 65536, "cache": "f16",
         "choices": [{"engine": "MLX", "recipe": \(name), "bitsPerWeight": 4.5, "weights": 700, "cache": 20,
           "buffers": 10, "capacity": 900, "left": -170, "inMainMemory": 0, "onDisk": 3, "fits": false,
           "tokensPerSecondBound": null}]}
        """)
      return (MachinePage(report).html, report)
    },
    "recipe": { name in
      let report = try json(
        """
        {"model": \(model(name)), "recipe": \(name), "format": "ingot", "bytes": 800, "tensorBytes": 750,
         "sourceBytes": 1500, "bitsPerWeight": 6, "parts": \(parts), "expertBits": [[4, 3, 3], [4, 4, 3]]}
        """)
      return (RecipePage(report).html, report)
    },
    "plan": { name in
      let report = try json(
        """
        {"model": \(model(name)), "parts": \(parts), "expertBits": [[4, 3, 3], [4, 4, 3]],
         "expertErrors": [[1e-3, 1e-4, 1e-5], [1e-6, 2e-6, 0]],
         "layerErrors": [{"experts": 1e-3, "attention": 1e-4}, {"experts": 2e-3, "attention": 1e-5}],
         "file": {"name": \(name), "format": "ingot", "budget": {"asked": \(name)},
          "sensitivity": {"name": \(name), "quantizer": "gptq", "tokens": 12288, "texts": [\(name), \(name)]},
          "predicted": {"checksum": \(name), "bytes": 800, "tensorBytes": 750, "bitsPerWeight": 4,
           "klDivergence": {"mean": 0.01, "low": 0.005, "high": 0.02}, "gap": 0.0012},
          "curve": [{"bitsPerWeight": 3, "tensorBytes": 9, "klDivergence": 0.1},
           {"bitsPerWeight": 5, "tensorBytes": 12, "klDivergence": 0.001}],
          "uniform": [{"encoding": \(name), "bitsPerWeight": 4.3, "tensorBytes": 11, "klDivergence": 0.02}]}}
        """)
      return (PlanFilePage(report).html, report)
    },
  ]

  @Test(arguments: pages.keys.sorted())
  func namesNeverBecomeMarkup(_ kind: String) throws {
    let make = try #require(Self.pages[kind])
    let (plain, hostile) = (
      try make("\"x\""), try make(JSON.string(VerificationPageTests.hostile).text())
    )
    let (page, other) = (try PageText(plain.html), try PageText(hostile.html))
    #expect(try page.report() == plain.report)
    #expect(try other.report() == hostile.report)
    #expect(page.elements.map(\.name) == other.elements.map(\.name))
    #expect(!hostile.html.unicodeScalars.contains { $0.value < 0x20 && $0 != "\n" })
    #expect(other.all("h1").first?.text.contains("</script><b onclick=\"x()\">'&amp;\\u{0}") == true)
  }

  @Test func cellsSayWhatFits() throws {
    let page = try PageText(try Self.pages["fits"]!("\"x\"").html)
    let cells = page.all("td").filter { $0.attributes["class"] != nil }
    #expect(cells.map(\.text).contains("64k"), "66,559 tokens are 64 units and not 65")
    #expect(cells.map(\.text).contains("3.3/s") || cells.map(\.text).contains("3.2/s"))
    #expect(page.all("p").contains { $0.text == "Nothing fits on none." })
  }

  /// On a logarithmic axis the middle of 0.1 and 0.001 is 0.01.
  @Test func curveIsLogarithmic() throws {
    let page = try PageText(try Self.pages["plan"]!("\"x\"").html)
    func place(_ key: String) throws -> (x: Double, y: Double) {
      let dot = try #require(page.all("circle").first { $0.attributes["data-mark"] == key })
      return (
        try #require(Double(dot.attributes["cx"] ?? "")), try #require(Double(dot.attributes["cy"] ?? ""))
      )
    }
    let (first, last) = (
      try place("file.curve.0.klDivergence"), try place("file.curve.1.klDivergence")
    )
    let plan = try place("file.predicted.klDivergence.mean")
    #expect(abs(plan.y - (first.y + last.y) / 2) < 0.02 && abs(plan.x - (first.x + last.x) / 2) < 0.02)
    #expect(first.y < last.y, "more divergence stands higher")
  }
}
