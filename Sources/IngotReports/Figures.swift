import IngotModels
import IngotSystem
import IngotTensors

/// The figures of a report, shown in elements that name the place in the JSON they come from, as
/// `layers.3.router.overlap`, so that a check can hold what is shown against it.
struct Figures {
  let report: JSON

  /// How a number is written.
  enum Style {
    /// So many digits behind the point.
    case fixed(Int)
    /// So many digits that count.
    case significant(Int)
    /// A share in percent, so many digits behind the point.
    case percent(Int)
    /// A whole number, in groups of three digits.
    case count
    /// Bytes in GB, MB or kB, three digits.
    case bytes
    /// Tokens in whole units of 1024, `65k`, below that in full.
    case tokens
  }

  /// The value at a place; null when there is none.
  subscript(key: String) -> JSON {
    var value = report
    for part in key.split(separator: ".") {
      if let array = value.array {
        guard let index = Int(part), array.indices.contains(index) else { return .null }
        value = array[index]
      } else {
        value = value[String(part)] ?? .null
      }
    }
    return value
  }

  func number(_ key: String) -> Double? { self[key].double }
  func int(_ key: String) -> Int? { self[key].int }
  func list(_ key: String) -> [JSON] { self[key].array ?? [] }
  func string(_ key: String) -> String { self[key].string ?? "" }

  /// The number at a place as text, `–` when it is null.
  func text(_ key: String, _ style: Style) -> String {
    number(key).map { Figures.text($0, style) } ?? "–"
  }

  static func text(_ value: Double, _ style: Style) -> String {
    let text: String =
      switch style {
      case .fixed(let digits): IngotModels.fixed(value, digits)
      case .significant(let digits): IngotModels.significant(value, digits)
      case .percent(let digits): IngotModels.fixed(100 * value, digits) + "\u{A0}%"
      case .count: grouped(Int(value))
      case .bytes: (value < 0 ? "-" : "") + decimal(abs(Int(value))).replacing(" ", with: "\u{A0}")
      case .tokens: value >= 1024 ? "\(Int(value) / 1024)k" : "\(Int(value))"
      }
    return text.hasPrefix("-") ? "−" + text.dropFirst() : text
  }

  /// The number at a place, marked with it.
  func callAsFunction(_ key: String, _ style: Style) -> Markup {
    guard let value = number(key) else { return "–" }
    return .element(
      "data", ["value": JSONNumber(value).text, "data-key": key], Markup(Figures.text(value, style)))
  }

  /// The number at a place, marked with it, within the text of a drawing.
  func span(_ key: String, _ style: Style) -> Markup {
    .element("tspan", ["data-key": key], Markup(text(key, style)))
  }

  /// `± 0.0052`, or nothing when the error cannot be told.
  func error(_ key: String, _ style: Style) -> Markup {
    guard number(key) != nil else { return .nothing }
    return .element("span", ["class": "error"], "± ", self(key, style))
  }

  /// A text at a place, marked with it.
  func name(_ key: String) -> Markup {
    .element("span", ["data-key": key, "class": "name"], Markup(string(key)))
  }
}
