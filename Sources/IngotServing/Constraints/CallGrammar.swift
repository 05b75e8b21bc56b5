import IngotSystem
import IngotToolCalls

extension ToolCallFormat {
  /// The grammar of one call of one of some tools, as the format writes it.
  ///
  /// - Parameters:
  ///   - place: of the tools in the request.
  ///   - schema: of what the text may be instead, and its place; nil for nothing else.
  /// - Throws: ServingError for schemas that cannot be enforced.
  package func grammar(
    of tools: [ToolDefinition], place: String, or schema: JSON? = nil, _ schemaPlace: String = ""
  ) throws(ServingError) -> Grammar {
    var maker = SchemaGrammar([:], place: place)
    var calls: [[Grammar.Element]] = []
    for (index, tool) in tools.enumerated() {
      maker = SchemaGrammar(tool.parameters, place: "\(place)[\(index)]", adding: maker)
      calls.append(try call(of: tool, &maker))
    }
    if let schema {
      maker = SchemaGrammar(schema, place: schemaPlace, adding: maker)
      calls.append(try maker.value(schema))
    }
    maker.setRoot([[maker.space, maker.space, maker.rule(calls)]])
    return maker.grammar
  }

  private func call(of tool: ToolDefinition, _ maker: inout SchemaGrammar) throws(ServingError)
    -> [Grammar.Element]
  {
    func text(_ text: String) -> [Grammar.Element] { Grammar.text(text) }
    func arguments() throws(ServingError) -> [Grammar.Element] {
      let isOpen = tool.parameters["properties"]?.object?.count ?? 0 == 0
      return isOpen ? text("{}") : try maker.value(tool.parameters)
    }
    let name = tool.name
    switch self {
    case .hermes:
      return text("<tool_call>\n{\"name\": \(JSON.string(name).text()), \"arguments\": ") + (try arguments())
        + text("}\n</tool_call>")
    case .mistral:
      return text("[TOOL_CALLS][{\"name\": \(JSON.string(name).text()), \"arguments\": ") + (try arguments())
        + text("}]")
    case .kimi:
      return text(
        "<|tool_calls_section_begin|><|tool_call_begin|>functions.\(name):0<|tool_call_argument_begin|>")
        + (try arguments()) + text("<|tool_call_end|><|tool_calls_section_end|>")
    case .deepSeek:
      return text("<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>\(name)<｜tool▁sep｜>") + (try arguments())
        + text("<｜tool▁call▁end｜><｜tool▁calls▁end｜>")
    case .harmony:
      return text("<|channel|>commentary to=functions.\(name) <|constrain|>json<|message|>")
        + (try arguments())
    case .minimax:
      return text("<minimax:tool_call>\n<invoke name=\"\(name)\">\n")
        + (try parameters(tool, &maker) { name, _ in ("<parameter name=\"\(name)\">", "</parameter>\n") })
        + text("</invoke>\n</minimax:tool_call>")
    case .qwenCoder:
      return text("<tool_call>\n<function=\(name)>\n")
        + (try parameters(tool, &maker) { name, _ in ("<parameter=\(name)>\n", "\n</parameter>\n") })
        + text("</function>\n</tool_call>")
    case .glm:
      return text("<tool_call>\(name)\n")
        + (try parameters(tool, &maker) { name, _ in
          ("<arg_key>\(name)</arg_key>\n<arg_value>", "</arg_value>\n")
        })
        + text("</tool_call>")
    case .deepSeekMarkup:
      return text("<｜DSML｜function_calls>\n<｜DSML｜invoke name=\"\(name)\">\n")
        + (try parameters(tool, &maker) {
          ("<｜DSML｜parameter name=\"\($0)\" string=\"\($1)\">", "</｜DSML｜parameter>\n")
        }) + text("</｜DSML｜invoke>\n</｜DSML｜function_calls>")
    }
  }

  /// Arguments that are written one by one, strings without quotes.
  ///
  /// - Parameter around: what stands around an argument, by its name and whether it is a string.
  private func parameters(
    _ tool: ToolDefinition, _ maker: inout SchemaGrammar, _ around: (String, Bool) -> (String, String)
  ) throws(ServingError) -> [Grammar.Element] {
    let required = Set((tool.parameters["required"]?.array ?? []).compactMap(\.string))
    var elements: [Grammar.Element] = []
    for (name, schema) in tool.parameters["properties"]?.object ?? [:] {
      let isPlain = schema["type"]?.string == "string"
      let value: [Grammar.Element]
      if isPlain, let values = schema["enum"]?.array {
        value = [maker.rule(values.map { Grammar.text($0.string ?? $0.text()) })]
      } else if isPlain {
        // Letters without a mark's first.
        let letter = Grammar.Element.bytes(ByteSet([0x09...0x0A, 0x20...0x7E], without: [0x3C]))
        let most = schema["maxLength"]?.int.flatMap { (1...1024).contains($0) ? $0 : nil }
        value = maker.repeated([maker.rule([[letter]] + SchemaGrammar.wide)], most: most)
      } else {
        value = try maker.value(schema)
      }
      let (before, after) = around(name, isPlain)
      let parameter = Grammar.text(before) + value + Grammar.text(after)
      elements += required.contains(name) ? parameter : [maker.rule([parameter, []])]
    }
    return elements
  }
}
