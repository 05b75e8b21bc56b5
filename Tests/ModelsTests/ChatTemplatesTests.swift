import IngotSystem
import IngotTokenizer
import Testing

/// Which template a model has, as transformers chooses.
@Suite struct ChatTemplatesTests {
  static func templates(_ files: [String: String], additional: [String] = []) throws(FormatError)
    -> ChatTemplates
  {
    try ChatTemplates(path: "model", additional: additional) { name in files[name].map { Array($0.utf8) } }
  }

  @Test func filesGoBeforeConfigs() throws {
    let both = try Self.templates([
      "chat_template.jinja": "file", "tokenizer_config.json": #"{"chat_template": "config"}"#,
      "chat_template.json": #"{"chat_template": "json"}"#,
    ])
    #expect(both.templates.map(\.source) == ["file"])
    #expect(both.templates[0].path == "model (chat_template.jinja)")
    let config = try Self.templates([
      "tokenizer_config.json": #"{"chat_template": "config"}"#,
      "chat_template.json": #"{"chat_template": "json"}"#,
    ])
    #expect(config.templates.map(\.source) == ["config"])
    let json = try Self.templates([
      "tokenizer_config.json": #"{"chat_template": null}"#,
      "chat_template.json": #"{"chat_template": "json"}"#,
    ])
    #expect(json.templates.map(\.source) == ["json"])
    let processor = try Self.templates(["processor_config.json": #"{"chat_template": "processor"}"#])
    #expect(try processor.template(withTools: true).source == "processor")
  }

  @Test func namedTemplatesAreChosenByTools() throws {
    let list = try Self.templates([
      "tokenizer_config.json":
        #"{"chat_template": [{"name": "default", "template": "D"}, {"name": "tool_use", "template": "T"}, {"name": "rag", "template": "R"}]}"#
    ])
    #expect(list.templates.map(\.name) == ["default", "tool_use", "rag"])
    #expect(try list.template(withTools: false).source == "D")
    #expect(try list.template(withTools: true).source == "T")
    #expect(list["rag"]?.source == "R")
    let folder = try Self.templates(
      ["chat_template.jinja": "D", "additional_chat_templates/tool_use.jinja": "T"],
      additional: ["tool_use.jinja", "README.md"])
    #expect(folder.templates.map(\.name) == ["default", "tool_use"])
    #expect(try folder.template(withTools: true).source == "T")
    let object = try Self.templates(["tokenizer_config.json": #"{"chat_template": {"default": "D"}}"#])
    #expect(try object.template(withTools: true).source == "D")
  }

  @Test func whatIsMissingIsNamed() throws {
    let none = try Self.templates(["tokenizer_config.json": "{}"])
    let error = #expect(throws: FormatError.self) { try none.template(withTools: false) }
    #expect(error?.remedy == .giveTemplate)
    for place in ["chat_template.jinja", "tokenizer_config.json", "chat_template.json", "GGUF"] {
      #expect(error?.description.contains(place) == true, "\(place)")
    }
    let other = try Self.templates([
      "tokenizer_config.json": #"{"chat_template": [{"name": "rag", "template": "R"}]}"#
    ])
    let unnamed = #expect(throws: FormatError.self) { try other.template(withTools: true) }
    #expect(unnamed?.description == "model: expected a chat template called 'default', found 'rag'")
  }

  @Test(arguments: [
    #"{"chat_template": 3}"#, #"{"chat_template": [{"name": "default"}]}"#, #"{"chat_template": ["x"]}"#,
    #"{"chat_template": {"default": 1}}"#, #"{"chat_template""#,
  ])
  func otherKindsAreRefused(_ config: String) {
    #expect(throws: FormatError.self) { try Self.templates(["tokenizer_config.json": config]) }
  }
}
