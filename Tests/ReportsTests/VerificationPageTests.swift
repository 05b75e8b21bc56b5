import Foundation
import IngotModels
import IngotReports
import IngotSystem
import IngotTensors
import Testing

@Suite struct VerificationPageTests {
  /// Markup, quotes, control characters, what XML refuses, and the end of a script.
  static let hostile = "</script><b onclick=\"x()\">'&amp;\u{0}\u{7}\u{1B}[2J\u{202E}\u{FFFE}\u{2028} ]]><!--"

  /// A report as `verify --json` has it, of a model with so many layers and experts.
  static func report(layers: Int, experts: Int, name: String = "x") throws -> JSON {
    func number(_ a: Int, _ b: Int) -> String { "\(Double((a * 7919 + b * 104_729) % 9973) / 9973)" }
    func list(_ count: Int, _ element: (Int) -> String) -> String {
      "[" + (0..<count).map(element).joined(separator: ",") + "]"
    }
    let text = JSON.string(name).text()
    let perplexity = """
      {"original": 20.8671, "candidate": 21.2692, "ratio": 1.0193, "standardError": 0.01,
       "standardErrors": {"original": 0.1, "candidate": 0.2, "ratio": 0.01}}
      """
    let layerList = list(layers) { layer in
      let moved = list(experts) { $0 == 3 ? "null" : number(layer, $0) }
      let errors = list(experts) { $0 == 3 ? "null" : number(layer + 1, $0) }
      let original = list(experts) { "\($0 * layer)" }
      return """
        {"layer": \(layer), "hiddenError": \(number(layer, 1)), "router": {"overlap": \(number(layer, 2)),
         "changed": \(number(layer, 3)), "gateMassMoved": \(number(layer, 4)), "experts": {"original": \(original),
         "moved": \(moved)}}, "expertErrors": \(errors)}
        """
    }
    let bits = list(layers) { layer in
      list(experts) { "\(2 + Double((layer * 31 + $0 * 17) % 23) / 4)" }
    }
    let source = """
      {"tokens": 6120, "contexts": 24, "perplexity": \(perplexity),
       "klDivergence": {"mean": 0.04059, "standardError": 0.0053, "median": 0.02, "p90": 0.09, "p95": 0.13,
        "p99": 0.32, "p999": 1.3, "maximum": 2.45,
        "histogram": {"below": 3, "edges": [0.01, 0.1, 1, 10], "counts": [10, 20, 1]}},
       "deltaP": {"mean": -0.00375, "rms": 0.0378}, "sameTop": 0.86144, "layers": \(layerList),
       "texts": [{"text": \(text), "tokens": 6120, "perplexity": \(perplexity),
        "klDivergence": {"mean": 0.04, "standardError": null}, "sameTop": 0.9}],
       "worst": [{"context": 3, "text": \(text), "position": 301, "divergence": 2.45,
        "before": {"tokens": [1], "text": \(text)}, "next": {"token": 5, "text": \(text)},
        "after": {"tokens": [1], "text": \(text)},
        "expected": [{"token": 5, "text": \(text), "original": 0.99, "candidate": 0.00001}]}],
       "seconds": 1.8, "violations": [\(text)],
       "candidate": {"name": \(text), "format": \(text), "bytes": 4350080, "parameters": 8007200,
        "bitsPerWeight": 4.346, "recipe": \(text), "madeBy": \(text), "parts": \(ByteRecord([]).json.text()),
        "expertBits": \(bits)},
       "original": {"name": \(text), "format": \(text), "bytes": 9085760, "parameters": 8007200},
       "run": {"tool": \(text), "command": \(text), "context": 512, "threads": 2, "isa": \(text),
        "files": [{"name": \(text), "of": \(text), "bytes": 120000, "hash": \(text)}]}}
      """
    return try JSON.parse(Array(source.utf8), path: "report")
  }

  @Test func isXMLAndCarriesItsReport() throws {
    let report = try Self.report(layers: 4, experts: 8)
    let page = try PageText(VerificationPage(report).html)
    #expect(try page.report() == report)
    #expect(page.all("h2").count == 7)
    #expect(page.all("svg").filter { $0.attributes["role"] == "img" }.count == 8)
    let drawings = page.all("svg").filter { $0.attributes["role"] == "img" }
    #expect(page.all("desc").count == drawings.count, "each drawing says what it is")
  }

  @Test func answersAreShownWhereTheyAreCompared() throws {
    var report = try Self.report(layers: 2, experts: 4).object!
    func share(_ count: Int, _ total: Int) -> JSON {
      [
        "share": JSON(Double(count) / 40), "standardError": JSON(0.05), "count": JSON(count),
        "of": JSON(total),
      ]
    }
    func model(_ count: Int) -> JSON {
      [
        "called": share(count, 40), "valid": share(count - 1, 40), "expectedTool": share(count - 2, 40),
        "expectedCall": share(count - 3, 40), "thinkingClosed": share(0, 0), "cutOff": share(4, 40),
      ]
    }
    report["answers"] = [
      "prompts": 40, "maximumTokens": 256, "original": model(30), "candidate": model(22),
      "sameTool": share(21, 30), "sameCall": share(14, 30), "sameScript": share(39, 40),
      "sameAnswer": share(10, 40),
    ]
    let page = try PageText(VerificationPage(.object(report)).html)
    #expect(page.all("h2").count == 8)
    let cells = page.all("tr").map { $0.text }
    #expect(cells.contains { $0.contains("calls a tool") && $0.contains("75.0") && $0.contains("55.0") })
    #expect(cells.contains { $0.contains("same arguments too") && $0.contains("35.0") && $0.contains("30") })
    #expect(cells.contains { $0.contains("thinking closed") && $0.contains("–") })
  }

  /// Read back from the text by a second way of formatting.
  @Test func figuresAreThoseOfTheReport() throws {
    let page = try PageText(VerificationPage(Self.report(layers: 4, experts: 8)).html)
    func shown(_ key: String) -> Set<String> {
      Set(page.elements.filter { $0.attributes["data-key"] == key }.map(\.text))
    }
    #expect(shown("klDivergence.mean") == ["0.04059"])
    #expect(shown("klDivergence.standardError") == ["0.0053"])
    #expect(shown("texts.0.klDivergence.standardError").isEmpty, "one context tells none")
    #expect(shown("perplexity.candidate") == ["21.269", "21.2692"])
    #expect(shown("sameTop") == ["86.14\u{A0}%", "86.144\u{A0}%"])
    #expect(shown("deltaP.mean") == ["−0.375\u{A0}%"])
    #expect(shown("candidate.bytes") == ["4.35\u{A0}MB", "4,350,080"])
    // 9973 parts of 7919 (layer + 1) + 104729 expert.
    #expect(shown("layers.2.expertErrors.7") == ["89.09\u{A0}%"])
    #expect(shown("worst.0.expected.0.candidate") == ["0.0010\u{A0}%"])
    for element in page.all("data") {
      #expect(element.attributes["value"] != nil && element.attributes["data-key"] != nil)
    }
  }

  @Test func namesNeverBecomeMarkup() throws {
    let plain = try PageText(VerificationPage(Self.report(layers: 2, experts: 4)).html)
    let report = try Self.report(layers: 2, experts: 4, name: Self.hostile)
    let html = VerificationPage(report).html
    let page = try PageText(html)
    #expect(try page.report() == report)
    #expect(page.elements.map(\.name) == plain.elements.map(\.name), "the same elements whatever the names")
    for (element, other) in zip(page.elements, plain.elements) {
      #expect(element.attributes.keys.sorted() == other.attributes.keys.sorted())
    }
    #expect(!html.unicodeScalars.contains { $0.value < 0x20 && $0 != "\n" })
    let shown = try #require(page.all("h1").first?.text)
    #expect(
      shown.hasPrefix(
        "</script><b onclick=\"x()\">'&amp;\\u{0}\\u{7}\\u{1b}[2J\\u{202e}\\u{fffe}\\u{2028} ]]><!--"))
  }

  /// The policy names exactly the script and the style that are there, and allows nothing else.
  @Test func policyNamesTheScriptAndTheStyle() throws {
    let page = try PageText(VerificationPage(Self.report(layers: 2, experts: 4)).html)
    let policy = try #require(
      page.all("meta").first { $0.attributes["http-equiv"] == "Content-Security-Policy" }?.attributes[
        "content"])
    #expect(policy.hasPrefix("default-src 'none'; "))
    #expect(!policy.contains("unsafe") && !policy.contains("http") && !policy.contains("*"))
    #expect(policy.split(separator: ";").count == 5)
    #expect(page.all("script").count == 2 && page.all("style").count == 1)
    #expect(page.elements.allSatisfy { $0.attributes["style"] == nil && $0.attributes["src"] == nil })
    #expect(page.all("a").allSatisfy { $0.attributes["href"]?.hasPrefix("#") == true })
  }

  /// MiniMax-M2's layers and experts, no two neighbours alike: below 3 MB, and no wait.
  @Test func largeModelsStayLight() throws {
    let report = try Self.report(layers: 62, experts: 256)
    var html = ""
    let time = ContinuousClock().measure { html = VerificationPage(report).html }
    #expect(html.utf8.count < 3_000_000, "\(html.utf8.count) bytes")
    #expect(time < .seconds(5), "\(time)")
    let page = try PageText(html)
    let cells = page.all("path").filter { $0.attributes["class"]?.hasPrefix("h") == true }
    #expect(cells.count <= 24, "one path for each colour")
  }
}
