import IngotSystem
import IngotTemplates
import Testing

private struct Conversations: Sendable {
  static let shared = Result { try Conversations() }
  let now: TemplateTime
  let conversations: [JSON]
  let templates: [String: JSON]

  init() throws {
    let json = try fixture("conversations.json")
    now = try time(json["now"])
    conversations = try #require(json["conversations"]?.array)
    let named = try #require(json["templates"]?.array).map { (try #require($0["name"]?.string), $0) }
    templates = Dictionary(uniqueKeysWithValues: named)
  }
}

private let names = [
  "plain", "headers", "strict", "types", "thinking", "flags", "elements", "declarations", "documents",
  "turns",
  "blocks", "loops", "spaces", "texts",
]

@Suite("Templates against transformers") struct TemplateVectorTests {
  @Test(arguments: names) func conversationsAreRenderedAlike(_ name: String) throws {
    let vectors = try Conversations.shared.get()
    let json = try #require(vectors.templates[name])
    let template = try ChatTemplate(try #require(json["source"]?.string), path: name)
    let texts = try #require(json["texts"]?.array)
    try #require(texts.count == vectors.conversations.count && !texts.isEmpty)
    for (number, (wanted, conversation)) in zip(texts, vectors.conversations).enumerated() {
      let text = try? template.render(
        messages: try #require(conversation["messages"]?.array), tools: conversation["tools"]?.array,
        addGenerationPrompt: conversation["add_generation_prompt"]?.bool ?? false,
        variables: variables(conversation["variables"]), now: vectors.now)
      #expect(text == wanted.string, "conversation \(number)")
    }
  }

  @Test func allTemplatesOfTheFixtureAreTried() throws {
    #expect(Set(try Conversations.shared.get().templates.keys) == Set(names))
  }

  @Test func expressionsGiveTheSame() throws {
    let json = try fixture("expressions.json")
    let now = try time(json["now"])
    var count = 0
    for group in try #require(json["groups"]?.array) {
      let values = try #require(group["variables"])
      for row in try #require(group["cases"]?.array) {
        let source = try #require(row.array?.first?.string)
        let text = try? render(source, values, now: now)
        // Texts are compared by their code points: Swift would let composed letters equal decomposed ones.
        #expect(text.map { Array($0.utf8) } == row.array?.last?.string.map { Array($0.utf8) }, "\(source)")
        count += 1
      }
    }
    #expect(count > 1000)
  }
}
