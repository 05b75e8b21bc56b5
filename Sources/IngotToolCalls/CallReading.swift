import IngotSystem

extension ToolCallFormat {
  /// The calls that stand before the mark that ends one. nil for anything else.
  func calls(_ body: ArraySlice<UInt8>, _ tools: [ToolDefinition]) -> [ToolCall]? {
    var reader = MarkupReader(body)
    reader.skipSpace()
    switch self {
    case .minimax:
      return invoked(&reader, tools, "<invoke name=", "<parameter name=", "</parameter>").map { [$0] }
    case .hermes, .qwenCoder, .glm: return tagged(&reader, tools)
    case .deepSeek: return separated(&reader).map { [$0] }
    case .deepSeekMarkup:
      return invoked(
        &reader, tools, "<｜DSML｜invoke name=", "<｜DSML｜parameter name=", "</｜DSML｜parameter>"
      ).map { [$0] }
    case .kimi: return numbered(&reader).map { [$0] }
    case .mistral: return listed(&reader)
    case .harmony: return nil
    }
  }

  /// `<invoke name="f">`, then parameters with their names, whose values are text.
  private func invoked(
    _ reader: inout MarkupReader, _ tools: [ToolDefinition], _ invoke: String, _ parameter: String,
    _ end: String
  ) -> ToolCall? {
    guard reader.take(invoke), let name = reader.text(upTo: ">").map(unquoted) else { return nil }
    let types = ArgumentTypes(name, tools)
    var arguments = JSONObject()
    reader.skipSpace()
    while !reader.isAtEnd {
      guard reader.take(parameter), let head = reader.text(upTo: ">"), let text = reader.text(upTo: end)
      else { return nil }
      // V3.2 says whether it is a string: name="a" string="true".
      let parts = head.split(separator: " ", maxSplits: 1)
      let argument = unquoted(String(parts.first ?? ""))
      guard !argument.isEmpty, arguments[argument] == nil else { return nil }
      let flag = parts.count > 1 ? parts[1] : ""
      if flag.contains("\"true\"") {
        arguments[argument] = .string(text)
      } else if flag.contains("\"false\"") {
        guard let value = text.trimmed().parsed else { return nil }
        arguments[argument] = value
      } else {
        arguments[argument] = types.value(text.withoutLineEnds(), of: argument)
      }
      reader.skipSpace()
    }
    return ToolCall(name: name, arguments)
  }

  private func unquoted(_ text: String) -> String {
    let text = text.trimmed()
    for quote in ["\"", "'"] where text.count >= 2 && text.hasPrefix(quote) && text.hasSuffix(quote) {
      return String(text.dropFirst().dropLast())
    }
    return text
  }

  /// What stands in `<tool_call>`: JSON, or one of the ways without.
  private func tagged(_ reader: inout MarkupReader, _ tools: [ToolDefinition]) -> [ToolCall]? {
    if reader.rest.first == UInt8(ascii: "{") || reader.rest.first == UInt8(ascii: "[") {
      return listed(&reader)
    }
    if reader.take("<function=") { return coded(&reader, tools).map { [$0] } }
    return keyed(&reader, tools).map { [$0] }
  }

  /// A call as JSON, or a list of such.
  private func listed(_ reader: inout MarkupReader) -> [ToolCall]? {
    guard reader.rest.first == UInt8(ascii: "{") || reader.rest.first == UInt8(ascii: "[") else {
      return bracketed(&reader)
    }
    guard let json = reader.remainder().trimmed().parsed else { return nil }
    var calls: [ToolCall] = []
    for entry in json.array ?? [json] {
      guard let name = entry["name"]?.string,
        let call = ToolCall(
          name: name, object(entry["arguments"] ?? entry["parameters"] ?? [:]), id: entry["id"]?.string)
      else { return nil }
      calls.append(call)
    }
    return calls.isEmpty ? nil : calls
  }

  /// Arguments that are an object, or a text that is one.
  private func object(_ json: JSON) -> JSONObject? { json.object ?? json.string?.parsed?.object }

  /// `f[ARGS]{…}`, of which several may follow each other.
  private func bracketed(_ reader: inout MarkupReader) -> [ToolCall]? {
    var calls: [ToolCall] = []
    while !reader.isAtEnd {
      guard let head = reader.text(upTo: "[ARGS]") else { return nil }
      let next = "[TOOL_CALLS]"
      let text = reader.text(upTo: next) ?? reader.remainder()
      let parts = head.trimmed().split(separator: "[CALL_ID]", maxSplits: 1)
      guard let name = parts.first,
        let call = ToolCall(
          name: name, text.trimmed().parsed?.object, id: parts.count > 1 ? String(parts[1]) : nil)
      else { return nil }
      calls.append(call)
    }
    return calls.isEmpty ? nil : calls
  }

  /// `f>` behind `<function=`, then parameters, then `</function>`.
  private func coded(_ reader: inout MarkupReader, _ tools: [ToolDefinition]) -> ToolCall? {
    guard let name = reader.text(upTo: ">")?.trimmed() else { return nil }
    let types = ArgumentTypes(name, tools)
    var arguments = JSONObject()
    while true {
      reader.skipSpace()
      if reader.take("</function>") { break }
      guard reader.take("<parameter="), let argument = reader.text(upTo: ">")?.trimmed(),
        let text = reader.text(upTo: "</parameter>"), !argument.isEmpty, arguments[argument] == nil
      else { return nil }
      arguments[argument] = types.value(text.withoutLineEnds(), of: argument)
    }
    reader.skipSpace()
    return reader.isAtEnd ? ToolCall(name: name, arguments) : nil
  }

  /// The name, then keys and values in turn.
  private func keyed(_ reader: inout MarkupReader, _ tools: [ToolDefinition]) -> ToolCall? {
    var arguments = JSONObject()
    let name: String
    if let head = reader.text(upTo: "<arg_key>")?.trimmed() {
      name = head
      let types = ArgumentTypes(name, tools)
      while true {
        guard let argument = reader.text(upTo: "</arg_key>")?.trimmed(), !argument.isEmpty,
          arguments[argument] == nil
        else { return nil }
        reader.skipSpace()
        guard reader.take("<arg_value>"), let text = reader.text(upTo: "</arg_value>") else { return nil }
        arguments[argument] = types.value(text.withoutLineEnds(), of: argument)
        reader.skipSpace()
        if reader.isAtEnd { break }
        guard reader.take("<arg_key>") else { return nil }
      }
    } else {
      name = reader.remainder().trimmed()
    }
    // What is no name is no call.
    guard !name.utf8.contains(where: { isSpace($0) || $0 == UInt8(ascii: "<") || $0 == UInt8(ascii: "{") })
    else { return nil }
    return ToolCall(name: name, arguments)
  }

  /// `<｜tool▁call▁begin｜>f<｜tool▁sep｜>{…}`, or before V3.1 `function<｜tool▁sep｜>f`, a line feed and JSON in a fence.
  private func separated(_ reader: inout MarkupReader) -> ToolCall? {
    guard reader.take("<｜tool▁call▁begin｜>"), let head = reader.text(upTo: "<｜tool▁sep｜>") else { return nil }
    var text = reader.remainder()
    guard head.trimmed() == "function", let lineEnd = text.firstIndex(of: "\n") else {
      return ToolCall(name: head.trimmed(), text.trimmed().parsed?.object)
    }
    let name = String(text[..<lineEnd]).trimmed()
    text = String(text[lineEnd...]).trimmed()
    if text.hasPrefix("```json") { text = String(text.dropFirst(7)) }
    if text.hasSuffix("```") { text = String(text.dropLast(3)) }
    return ToolCall(name: name, text.trimmed().parsed?.object)
  }

  /// `<|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>{…}`.
  private func numbered(_ reader: inout MarkupReader) -> ToolCall? {
    guard reader.take("<|tool_call_begin|>"),
      let id = reader.text(upTo: "<|tool_call_argument_begin|>")?.trimmed()
    else { return nil }
    var name = id[...]
    if name.hasPrefix("functions.") { name = name.dropFirst(10) }
    if let colon = name.lastIndex(of: ":") { name = name[..<colon] }
    return ToolCall(name: name, reader.remainder().trimmed().parsed?.object, id: id)
  }
}
