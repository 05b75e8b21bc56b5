import IngotSystem
import IngotTemplates
import Testing

@Suite struct TemplateErrorTests {
  /// The error of a template, as it is shown.
  private func error(_ source: String, _ values: JSON = [:]) -> String {
    do {
      return "no error but \(try render(source, values))"
    } catch {
      return error.description
    }
  }

  @Test func errorsNameFileAndLine() {
    #expect(
      error("a\n{% if true %}\n  {{ x.y }}\n{% endif %}")
        == "t.jinja: expected a value, found 'x' is undefined (line 3)")
    #expect(error("\n\n{% if %}") == "t.jinja: expected an expression, found '%}' (line 3)")
    #expect(error("{{ 'a'\n }\n }}") == "t.jinja: expected brackets that match, found '}' (line 2)")
    #expect(
      error("{% for x in [1] %}\n{{ x|nope }}{% endfor %}")
        == "t.jinja: expected a filter of jinja2 that chat templates use, found 'nope' (line 2)")
  }

  @Test func aMacroLeavesTheLineOfItsCall() {
    #expect(
      error("{% macro m() %}\n\n\n{% endmacro %}\n{{ m() + 1 }}")
        == "t.jinja: expected values that + takes, found str + int (line 5)")
  }

  @Test func whatATemplateSaysIsShown() throws {
    let template = try ChatTemplate("{{ raise_exception('Roles must alternate, ' ~ 2) }}", path: "c/t.jinja")
    let error = #expect(throws: FormatError.self) { try template.render(messages: []) }
    #expect(
      error?.description
        == "c/t.jinja: expected a conversation that the template takes, found what it says is wrong: "
        + "Roles must alternate, 2 (line 1)")
  }

  @Test func aTimeIsToldOnlyWhereOneIsGiven() throws {
    let template = try ChatTemplate("{{ strftime_now('%d %b %Y') }}", path: "t.jinja")
    #expect(throws: FormatError.self) { try template.render(messages: []) }
    let now = TemplateTime(year: 2024, month: 2, day: 29)
    #expect(try template.render(messages: [], now: now) == "29 Feb 2024")
  }

  @Test func nothingOutsideIsReached() {
    for source in [
      "{% include 'x' %}", "{% import 'x' as y %}", "{% from 'x' import y %}", "{% extends 'x' %}",
      "{{ ''.__class__.__mro__ }}", "{{ [].append(1) }}", "{{ {}.update({'a': 1}) }}", "{{ [1].pop() }}",
      "{{ lipsum() }}", "{{ [1, 2]|random }}", "{{ namespace(_a=1) }}",
    ] {
      #expect(error(source).hasPrefix("t.jinja: expected "), "\(source)")
    }
  }

  @Test func reasoningIsFoundUnderEveryName() throws {
    let template = try ChatTemplate(
      "{% for m in messages %}{{ m.thinking }}|{{ m.reasoning_content }};{% endfor %}", path: "t.jinja")
    let messages: [JSON] = [
      ["role": "assistant", "reasoning": "a"], ["role": "assistant", "thinking": "b"],
      ["role": "assistant", "thinking": "c", "reasoning_content": "d"], ["role": "user", "reasoning": nil],
    ]
    #expect(try template.render(messages: messages) == "a|a;b|b;c|d;|;")
  }

  /// As `apply_chat_template` hands messages on: APIs give `"content": null` beside calls of tools.
  @Test func nullMembersAreLeftOut() throws {
    let template = try ChatTemplate(
      "{% for m in messages %}{{ m.content is defined }},{{ 'tool_calls' in m }};{% endfor %}",
      path: "t.jinja")
    let messages: [JSON] = [
      ["role": "assistant", "content": nil, "tool_calls": []],
      ["role": "user", "content": "", "tool_calls": nil],
    ]
    #expect(try template.render(messages: messages) == "False,True;True,False;")
  }

  @Test func numbersKeepTheirKind() throws {
    let values = try JSON.parse(
      Array(#"{"x": [1, 1.0, 1e2, -0, -0.0, 1E-7, 123456789012345678901234567890, 0.1, 1e400]}"#.utf8),
      path: "x")
    #expect(
      try render("{{ x|tojson }} {{ x }}", values)
        == "[1, 1.0, 100.0, 0, -0.0, 1e-07, 123456789012345678901234567890, 0.1, Infinity] "
        + "[1, 1.0, 100.0, 0, -0.0, 1e-07, 123456789012345678901234567890, 0.1, inf]")
  }

  @Test func keysKeepTheirOrder() throws {
    let values = try JSON.parse(Array(#"{"x": {"z": 1, "a": {"y": 2, "b": 3}}}"#.utf8), path: "x")
    #expect(try render("{{ x|tojson }}", values) == #"{"z": 1, "a": {"y": 2, "b": 3}}"#)
  }

  @Test func aTemplateRendersAgain() async throws {
    let template = try ChatTemplate(
      "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}",
      path: "t.jinja")
    try await withThrowingTaskGroup(of: Bool.self) { group in
      for count in 0..<8 {
        group.addTask {
          try template.render(messages: Array(repeating: ["role": "user"], count: count)) == "\(count)"
        }
      }
      for try await isRight in group { #expect(isRight) }
    }
  }
}
