import Foundation
import IngotSystem
import IngotTemplates
import Synchronization
import Testing

/// Templates that would hang, or take all memory or all stack, were there no limits.
@Suite struct TemplateHostileTests {
  private final class Outcome: Sendable {
    let error = Mutex<FormatError?>(nil)
    let done = DispatchSemaphore(value: 0)
  }

  /// Whether a template is refused, on a thread with as small a stack as tasks have anywhere.
  private func isRefused(_ source: String, steps: Int = 10_000_000) -> Bool {
    let outcome = Outcome()
    var limits = TemplateLimits()
    limits.steps = steps
    let chosen = limits
    let thread = Thread {
      do throws(FormatError) {
        _ = try render(source, limits: chosen)
      } catch {
        outcome.error.withLock { $0 = error }
      }
      outcome.done.signal()
    }
    #if DEBUG
      // Frames of code that is not optimized are many times as large.
      thread.stackSize = 64 << 20
    #else
      thread.stackSize = 512 << 10
    #endif
    thread.start()
    outcome.done.wait()
    return outcome.error.withLock { $0 != nil }
  }

  private func nested(_ open: String, _ middle: String, _ close: String, _ count: Int = 100_000) -> String {
    String(repeating: open, count: count) + middle + String(repeating: close, count: count)
  }

  @Test func nestingIsLimited() {
    for expression in [
      nested("(", "1", ")"), nested("[", "1", "]"), nested("{1:", "1", "}"), nested("not ", "1", ""),
      nested("- ", "1", ""), "x" + nested("[y", "", "]"), "x" + nested("(y", "", ")"),
      "1" + nested("+1", "", ""), "1" + nested(" and 1", "", ""), "1" + nested(" if 1 else 1", "", ""),
      "x" + nested(".a", "", ""), "x" + nested("[0]", "", ""), "x" + nested("()", "", ""),
      "x" + nested("|e", "", ""),
    ] {
      #expect(isRefused("{{ \(expression) }}"), "\(expression.prefix(20))")
    }
    for statement in ["{% if 1 %}", "{% for x in y %}", "{% macro m() %}", "{% with %}", "{% set x %}"] {
      #expect(isRefused(nested(statement, "", "")), "\(statement)")
    }
    #expect(isRefused("{% set \(nested("(", "a", ")")) = 1 %}"))
    #expect(isRefused(String(repeating: " ", count: 2 << 20)))
  }

  /// As deep as the parser lets through.
  @Test func whatIsAllowedFitsTheStack() {
    #expect(!isRefused("{{ \(nested("(", "1", ")", 74)) }}"))
    #expect(!isRefused("{{ \(nested("[", "1", "]", 74)) }}"))
    #expect(!isRefused("{{ 1\(nested("+1", "", "", 198)) }}"))
    #expect(!isRefused("{{ x\(nested("|string", "", "", 198)) }}"))
    #expect(!isRefused(nested("{% if 1 %}", "x", "{% endif %}", 99)))
    #expect(!isRefused(nested("{% for x in [1] %}", "x", "{% endfor %}", 99)))
    #expect(!isRefused(nested("{% filter upper %}", "x", "{% endfilter %}", 99)))
    #expect(!isRefused("{% set x = \(nested("[", "", "]", 74)) %}{{ \(nested("[", "x", "]", 74)) }}"))
  }

  /// What takes most stack apart from calls, at the bottom of as many calls as are allowed.
  @Test func whatIsAllowedFitsBelowCalls() {
    let start =
      "{% set ns = namespace(x=[1], y=[1], z=[1]) %}{% for i in range(190) %}{% set ns.x = [ns.x] %}"
      + "{% set ns.y = {'a': ns.y} %}{% if i < 95 %}{% set ns.z = ns.z|map('string') %}{% endif %}"
      + "{% endfor %}"
      + "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{% else %}"
    for use in [
      "ns.x|tojson", "ns.y|tojson(indent=1)", "ns.x|string", "ns.y|string", "ns.z|list",
      "ns.x == [ns.x[0]]", "ns.x < [ns.x[0]]", "'%r{}' % ns.y", "'{!r}'.format(ns.x)", "(ns.x,)|sort",
    ] {
      let deepest = (1...200).last { calls in
        !isRefused("\(start){{ \(use) }}{% endif %}{% endmacro %}{{ m(\(calls)) }}")
      }
      #expect(deepest.map { $0 > 60 } ?? false, "\(use)")
    }
  }

  @Test func callsAreLimited() {
    let deep = nested("{% if 1 %}", "{{ " + nested("[", "m()", "]", 70) + " }}", "{% endif %}", 90)
    for source in [
      "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
      "{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}{{ a() }}",
      "{% macro m() %}\(deep){% endmacro %}{{ m() }}",
      "{% macro m() %}{{ caller() }}{% endmacro %}{% macro k() %}{% call m() %}{{ k() }}{% endcall %}"
        + "{% endmacro %}{{ k() }}",
      "{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}",
      "{% macro m(a=m()) %}{% endmacro %}{{ m() }}",
      "{% macro m() %}" + nested("{% for x in [1] %}", "{{ m() }}", "{% endfor %}", 90)
        + "{% endmacro %}{{ m() }}",
      "{% macro m() %}{% set x %}{% filter upper %}{{ m() }}{% endfilter %}{% endset %}{% endmacro %}"
        + "{{ m() }}",
      "{% macro m() %}{% generation %}{{ m() }}{% endgeneration %}{% endmacro %}{{ m() }}",
      "{% macro m() %}{% for x in [1] if m() %}{% endfor %}{% endmacro %}{{ m() }}",
    ] {
      #expect(isRefused(source), "\(source.prefix(60))")
    }
  }

  @Test func valuesAreLimited() {
    let start = "{% set ns = namespace(x=[1], y=(1,)) %}{% for i in range(100000) %}"
    for step in [
      "[ns.x]", "{1: ns.x}", "ns.x|map('string')", "cycler(ns.x)", "dict(a=ns.x).items()", "ns.x|batch(1)",
      "ns.x ~ ns.x", "ns.x + ns.x", "[ns.x.index]",
    ] {
      #expect(isRefused(start + "{% set ns.x = \(step) %}{% endfor %}"), "\(step)")
    }
    #expect(isRefused("{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}"))
    // A list that holds one list twice, and so on, is small but long when written.
    let doubled =
      "{% set ns = namespace(x=[1], y=(1,), z=[1]) %}{% for i in range(150) %}{% set ns.x = [ns.x, ns.x] %}"
      + "{% set ns.y = (ns.y, ns.y) %}{% set ns.z = [ns.z, ns.z] %}{% endfor %}"
    for use in ["ns.x|string", "ns.x|tojson", "{ns.y: 1}", "ns.x == ns.z", "ns.x < ns.z"] {
      #expect(isRefused(doubled + "{{ \(use) }}", steps: 1_000_000), "\(use)")
    }
  }

  @Test func circlesLeaveNothingBehind() throws {
    // What refers to itself through macros, loops and namespaces is taken apart, however long the chain.
    let source = """
      {% set ns = namespace(f=1) %}
      {%- macro k(p) %}{% macro m() %}{{ p }}{% endmacro %}{% set ns.f = m %}{% endmacro %}
      {%- for i in range(20000) %}{{ k(ns.f) }}{% endfor %}
      {%- set n2 = namespace(x=1) %}{% for i in range(20000) %}{% set n2.x = namespace(x=n2.x) %}{% endfor -%}
      {%- for x in [1, 2] if x recursive %}{% set ns.l = loop %}{% endfor %}done
      """
    #expect(try render(source).hasSuffix("done"))
    #expect(!isRefused(source))
  }

  @Test func growthIsLimited() {
    for expression in [
      "'a'|center(1000000000)", "'a'.ljust(10**12)", "'a'.zfill(10**18)", "'%1000000000d' % 1",
      "'%*d' % (10**10, 1)", "'%.1000000000f' % 1.5", "'{:1000000000}'.format(1)",
      "'{:.1000000000f}'.format(1.5)", "'{:01000000000,}'.format(1)", "'a\\nb'|indent(10**10)",
      "[1]|tojson(indent=10**10)", "'a' * 10**10", "10**18 * 'abc'", "[1] * 10**10",
      "[1]|batch(10**10, 1)|list",
      "[1]|slice(10**10)|list", "range(10**9)|list", "2**(10**18)", "(2**16000) * (2**16000)",
      "1.5|round(10**6, 'ceil')", "('a' * 1000000).replace('', 'b' * 1000000)",
      "('a' * 1000000)|replace('a', 'b' * 1000)",
      "('b' * 10000000).join(['a'] * 1000)", "strftime_now('%1000000000Y')", "(1,) * 10**10",
      "dict(**dict.fromkeys(range(5000)|map('string')))",
    ] {
      #expect(isRefused("{{ \(expression) }}"), "\(expression)")
    }
  }

  @Test func timeIsLimited() throws {
    let forever = "{% for a in range(100000) %}{% for b in range(100000) %}"
    #expect(isRefused(forever + "{% endfor %}{% endfor %}"))
    #expect(isRefused(forever + "0123456789012345678901234567890123456789{% endfor %}{% endfor %}"))
    for work in [
      "x|upper", "x|title", "x[::-1]", "x|replace('a', 'b')", "x == y", "x|tojson", "x.split('a')",
      "'%.3000f' % 1e300", "l|sort", "l|join(',')", "-1 in l", "x|wordcount",
    ] {
      let source =
        "{% set x = 'a' * 1000000 %}{% set y = ('a' * 999999) ~ 'a' %}{% set l = range(10000)|list %}"
      #expect(
        isRefused(source + forever + "{% set z = \(work) %}{% endfor %}{% endfor %}", steps: 1_000_000),
        "\(work)")
    }
    var limits = TemplateLimits()
    limits.steps = 1000
    #expect(throws: FormatError.self) { try render("{% for i in range(2000) %}{% endfor %}", limits: limits) }
    #expect(try render("{% for i in range(200) %}{% endfor %}", limits: limits).isEmpty)
  }

  /// Every beginning of a template ends in a text or an error.
  @Test func cutTemplatesAreRead() throws {
    let json = try fixture("conversations.json")
    for template in try #require(json["templates"]?.array) {
      let source = Array(try #require(template["source"]?.string).unicodeScalars)
      for end in stride(from: 1, to: source.count, by: 37) {
        var text = String.UnicodeScalarView()
        text.append(contentsOf: source[..<end])
        _ = try? render(String(text))
      }
    }
  }
}
