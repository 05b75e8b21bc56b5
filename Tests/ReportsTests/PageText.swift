import Foundation
import IngotSystem
import IngotTensors
import Testing

#if canImport(FoundationXML)
  import FoundationXML
#endif

/// A page, read as XML by another reader.
final class PageText: NSObject, XMLParserDelegate {
  struct Element {
    var name: String
    var attributes: [String: String]
    /// Of it and of all it holds.
    var text = ""
  }

  private(set) var elements: [Element] = []
  private var open: [Int] = []

  init(_ html: String) throws {
    super.init()
    let parser = XMLParser(data: Data(html.utf8))
    parser.delegate = self
    let isParsed = parser.parse()
    try #require(
      isParsed,
      "line \(parser.lineNumber), column \(parser.columnNumber): \(String(describing: parser.parserError))")
  }

  func parser(
    _ parser: XMLParser, didStartElement name: String, namespaceURI: String?, qualifiedName: String?,
    attributes: [String: String] = [:]
  ) {
    open.append(elements.count)
    elements.append(Element(name: name, attributes: attributes))
  }

  func parser(_ parser: XMLParser, foundCharacters text: String) {
    for index in open { elements[index].text += text }
  }

  func parser(_ parser: XMLParser, didEndElement name: String, namespaceURI: String?, qualifiedName: String?)
  {
    open.removeLast()
  }

  func all(_ name: String) -> [Element] { elements.filter { $0.name == name } }

  /// The JSON in the page.
  func report() throws -> JSON {
    let element = try #require(elements.first { $0.attributes["id"] == "report" })
    return try JSON.parse(Array(element.text.utf8), path: "report")
  }
}
