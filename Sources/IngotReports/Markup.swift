import IngotModels
import IngotSystem
import IngotTensors

/// A piece of HTML or SVG in which every text has been escaped: it is made of elements and texts only, never of
/// a string that is taken for markup. What it gives is well-formed XML too.
public struct Markup: Sendable, ExpressibleByStringInterpolation {
  private(set) var source: String

  private init(source: String) { self.source = source }

  /// Text, not markup: `<`, quotes and control characters in it are shown.
  public init(_ text: String) { source = Markup.escaped(printable(text, limit: .max)) }

  public init(stringLiteral value: String) { self.init(value) }

  init(_ parts: [Markup]) { source = parts.map(\.source).joined() }

  static let nothing = Markup(source: "")
  /// A line feed, for texts whose white space is kept.
  static let lineBreak = Markup(source: "\n")

  static func + (a: Markup, b: Markup) -> Markup { Markup(source: a.source + b.source) }
  static func += (a: inout Markup, b: Markup) { a.source += b.source }

  /// An element. Values of attributes are escaped, those of nil left out.
  static func element(
    _ name: StaticString, _ attributes: KeyValuePairs<StaticString, String?> = [:], _ content: Markup...
  ) -> Markup {
    element(name, attributes, content)
  }

  static func element(
    _ name: StaticString, _ attributes: KeyValuePairs<StaticString, String?> = [:], _ content: [Markup]
  ) -> Markup {
    var source = "<\(name)"
    for (key, value) in attributes {
      if let value { source += " \(key)=\"\(escaped(printable(value, limit: .max)))\"" }
    }
    let inner = content.reduce(into: "") { $0 += $1.source }
    // Elements of HTML that may be empty but must be closed are told from void ones by the list of these.
    let isVoid = ["meta", "br", "col", "path", "rect", "line", "circle"].contains("\(name)")
    source += isVoid && inner.isEmpty ? "/>" : ">\(inner)</\(name)>"
    return Markup(source: source)
  }

  /// A script or style of our own, verbatim: it has no `<` and no `&`, so it is well-formed XML.
  static func verbatim(
    _ name: StaticString, _ attributes: KeyValuePairs<StaticString, String> = [:], _ text: String
  )
    -> Markup
  {
    precondition(!text.utf8.contains(UInt8(ascii: "<")) && !text.utf8.contains(UInt8(ascii: "&")))
    let list = attributes.map { " \($0.key)=\"\(escaped($0.value))\"" }.joined()
    return Markup(source: "<\(name)\(list)>\(text)</\(name)>")
  }

  /// Markup's own characters as references; noncharacters, which XML refuses, as `\u{…}`.
  private static func escaped(_ text: String) -> String {
    var out = ""
    out.reserveCapacity(text.utf8.count)
    for scalar in text.unicodeScalars {
      switch scalar {
      case "&": out += "&amp;"
      case "<": out += "&lt;"
      case ">": out += "&gt;"
      case "\"": out += "&quot;"
      case "'": out += "&#39;"
      case "\u{FFFE}", "\u{FFFF}": out += "\\u{\(String(scalar.value, radix: 16))}"
      default: out.unicodeScalars.append(scalar)
      }
    }
    return out
  }
}

/// A JSON text that can stand in a `<script>` element and in XML: `<`, `>` and `&`, which occur in strings only, and
/// noncharacters are written as escapes.
func embeddable(_ json: JSON) -> String {
  var out = ""
  for scalar in json.text().unicodeScalars {
    switch scalar {
    case "<", ">", "&", "\u{FFFE}", "\u{FFFF}", "\u{2028}", "\u{2029}":
      let digits = String(scalar.value, radix: 16)
      out += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
    default: out.unicodeScalars.append(scalar)
    }
  }
  return out
}

/// A coordinate: at most two digits behind the point.
func coordinate(_ value: Double) -> String {
  var text = fixed(value, 2)
  guard text.contains(".") else { return text }
  while text.hasSuffix("0") { text.removeLast() }
  if text.hasSuffix(".") { text.removeLast() }
  return text
}
