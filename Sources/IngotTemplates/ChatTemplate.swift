import IngotSystem

/// The chat template of a checkpoint: renders conversations as transformers' `apply_chat_template` does.
///
/// The language is jinja2's, in the sandbox and with the settings of transformers: `trim_blocks`,
/// `lstrip_blocks`, `break` and `continue`, `{% generation %}`, `raise_exception`, `strftime_now`, `tojson`
/// without escapes for HTML. What a template may not do there it may not do here, and besides it is limited
/// in time and memory.
public struct ChatTemplate: Sendable {
  /// The file that the template stands in, for errors.
  public let path: String
  private let program: Compiler.Program

  /// - Parameters:
  ///   - source: the text of the template.
  ///   - path: the file it comes from, for errors.
  /// - Throws: when it is no template; the error names the line.
  public init(_ source: String, path: String) throws(FormatError) {
    self.path = path
    do {
      program = try Compiler.program(try Parser.statements(source))
    } catch {
      throw ChatTemplate.error(error, path, line: 0)
    }
  }

  /// The text of one conversation.
  ///
  /// - Parameters:
  ///   - messages: objects, usually with `role` and `content`. Members that are null are left out, as transformers
  ///     does. What a message has thought is found by templates under any of the names `reasoning_content`, `thinking`
  ///     and `reasoning`.
  ///   - tools: definitions of tools; nil for none.
  ///   - addGenerationPrompt: whether the text ends where the model is to answer.
  ///   - variables: what the template may use besides: `bos_token`, `enable_thinking`, `documents`…
  ///   - now: what `strftime_now` tells; without it, a template that asks is refused.
  ///   - limits: what the template may use.
  /// - Throws: when the template refuses the conversation (`raise_exception`), fails on it or goes beyond a
  ///   limit.
  public func render(
    messages: [JSON], tools: [JSON]? = nil, addGenerationPrompt: Bool = false,
    variables: [(name: String, value: JSON)] = [], now: TemplateTime? = nil,
    limits: TemplateLimits = TemplateLimits()
  ) throws(FormatError) -> String {
    var values: [String: Value] = [
      "messages": .list(List(messages.map { Value(ChatTemplate.prepared($0)) })),
      "tools": tools.map { .list(List($0.map { Value($0) })) } ?? .null,
      "documents": .null,
      "add_generation_prompt": .bool(addGenerationPrompt),
    ]
    for (name, value) in variables { values[name] = Value(value) }
    return try render(values, now: now, limits: limits)
  }

  /// What the template gives with these variables and no others.
  public func render(
    variables: [(name: String, value: JSON)], now: TemplateTime? = nil,
    limits: TemplateLimits = TemplateLimits()
  ) throws(FormatError) -> String {
    var values: [String: Value] = [:]
    for (name, value) in variables { values[name] = Value(value) }
    return try render(values, now: now, limits: limits)
  }

  private func render(_ variables: [String: Value], now: TemplateTime?, limits: TemplateLimits)
    throws(FormatError) -> String
  {
    let run = Rendering(variables, now: now, limits: limits)
    defer { run.end() }
    do {
      for value in variables.values { try run.check(depth: value.depth) }
      let scope = Scope(run, slots: program.slots, parent: nil)
      try program.entry.enter(scope)
      var out = Output()
      _ = try program.body.run(in: scope, &out)
      scope.clear()
      return out.text.string
    } catch {
      throw ChatTemplate.error(error, path, line: run.line)
    }
  }

  private static func error(_ fault: Fault, _ path: String, line: Int) -> FormatError {
    let line = fault.line ?? line
    return FormatError(
      path: path, expected: fault.expected, found: line > 0 ? "\(fault.found) (line \(line))" : fault.found)
  }

  /// The message without members that are null, and with its reasoning under the names that templates read.
  private static func prepared(_ message: JSON) -> JSON {
    guard let object = message.object else { return message }
    let reasoning = ["reasoning_content", "thinking", "reasoning"].lazy
      .compactMap { object[$0] }.first { !$0.isNull }
    var result: JSONObject = [:]
    if let reasoning { result["thinking"] = reasoning }
    for (key, value) in object where !value.isNull { result[key] = value }
    if let reasoning { result["reasoning_content"] = reasoning }
    return .object(result)
  }
}

extension Value {
  /// A value of JSON as `json.loads` of Python gives it.
  init(_ json: JSON) {
    switch json {
    case .null: self = .null
    case .bool(let value): self = .bool(value)
    case .number(let number):
      let text = number.text
      if let int = number.int {
        self = .int(int)
      } else if text.utf8.contains(where: { $0 == UInt8(ascii: ".") || $0 | 0x20 == UInt8(ascii: "e") }) {
        self = .float(number.double ?? .nan)
      } else {
        let digits = text.utf8.filter { $0 >= 0x30 && $0 <= 0x39 }.map { Int($0) - 0x30 }
        self = .integer(BigInt(isNegative: text.hasPrefix("-"), digits: digits, radix: 10))
      }
    case .string(let string): self = .text(Text(string))
    case .array(let items): self = .list(List(items.map { Value($0) }))
    case .object(let object):
      var builder = DictBuilder()
      for (key, value) in object { builder.set(Text(key), Value(value)) }
      self = .dict(builder.dict)
    }
  }
}
