import IngotKernels
import IngotSystem
import IngotTensors

/// One HTML page that needs nothing but itself. Its Content-Security-Policy forbids every request, and every script and
/// style but the two that it comes with.
struct Page {
  var title: String
  /// One line under the title.
  var subtitle: Markup
  var sections: [Section] = []
  /// What the figures come from, embedded in the page as `#report`.
  var report: JSON

  struct Section {
    var id: String
    /// What the page's list of sections calls it.
    var name: String
    var title: String
    var content: Markup
    /// What the reader needs to know about the figures.
    var note: Markup = .nothing
  }

  mutating func add(
    _ id: String, _ name: String, _ title: String, note: Markup = .nothing, _ content: Markup...
  ) {
    sections.append(Section(id: id, name: name, title: title, content: Markup(content), note: note))
  }

  var html: String {
    let style = String(decoding: PackageResources.page_css, as: UTF8.self)
    let script = String(decoding: PackageResources.page_js, as: UTF8.self)
    let policy =
      "default-src 'none'; script-src 'sha256-\(Page.hash(script))'; style-src 'sha256-\(Page.hash(style))'; "
      + "base-uri 'none'; form-action 'none'"
    let head = Markup.element(
      "head", [:],
      .element("meta", ["charset": "utf-8"]),
      .element("meta", ["http-equiv": "Content-Security-Policy", "content": policy]),
      .element("meta", ["name": "viewport", "content": "width=device-width, initial-scale=1"]),
      .element("meta", ["name": "color-scheme", "content": "light dark"]),
      .element("meta", ["name": "referrer", "content": "no-referrer"]),
      .element("title", [:], Markup(title)),
      .verbatim("style", [:], style))
    var main = Markup.element(
      "header", [:], .element("h1", [:], Markup(title)), .element("p", ["class": "subtitle"], subtitle))
    main += .element(
      "nav", ["aria-label": "Sections"],
      sections.map { .element("a", ["href": "#\($0.id)"], Markup($0.name)) })
    for section in sections {
      main += .element(
        "section", ["id": section.id], .element("h2", [:], Markup(section.title)),
        section.note.source.isEmpty ? .nothing : .element("p", ["class": "note"], section.note),
        section.content)
    }
    let body = Markup.element(
      "body", [:], .element("main", [:], main),
      .verbatim("script", ["type": "application/json", "id": "report"], embeddable(report)),
      .verbatim("script", [:], script))
    return "<!DOCTYPE html>\n"
      + Markup.element("html", ["lang": "en"], head, body).source + "\n"
  }

  /// What a policy calls a script or style by: SHA-256 of its text in Base64.
  private static func hash(_ text: String) -> String {
    base64(SHA256.hash(Bytes(Array(text.utf8)).span))
  }
}

/// RFC 4648, with padding.
func base64(_ bytes: [UInt8]) -> String {
  let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
  var out: [UInt8] = []
  for start in stride(from: 0, to: bytes.count, by: 3) {
    let group = bytes[start..<min(start + 3, bytes.count)]
    let bits = group.reduce(0) { $0 << 8 | Int($1) } << (8 * (3 - group.count))
    for place in 0..<4 {
      out.append(place <= group.count ? alphabet[bits >> (18 - 6 * place) & 63] : UInt8(ascii: "="))
    }
  }
  return String(decoding: out, as: UTF8.self)
}
