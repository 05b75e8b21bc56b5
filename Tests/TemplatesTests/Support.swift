import Foundation
import IngotSystem
import IngotTemplates
import Testing

/// A file under Tests/Fixtures/templates, made by scripts/tools reference-templates.
func fixture(_ name: String) throws -> JSON {
  let tests = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
  let file = tests.appending(path: "Fixtures/templates").appending(path: name)
  return try JSON.parse(Array(try Data(contentsOf: file)), path: name)
}

/// What `strftime_now` tells where the fixtures were made.
func time(_ json: JSON?) throws -> TemplateTime {
  let parts = try #require(json?.array).compactMap(\.int)
  try #require(parts.count == 6)
  return TemplateTime(
    year: parts[0], month: parts[1], day: parts[2], hour: parts[3], minute: parts[4], second: parts[5])
}

func variables(_ json: JSON?) -> [(name: String, value: JSON)] {
  (json?.object ?? [:]).map { (name: $0.key, value: $0.value) }
}

/// The text that a template gives with variables alone.
func render(
  _ source: String, _ values: JSON = [:], now: TemplateTime? = nil, limits: TemplateLimits = TemplateLimits()
) throws(FormatError) -> String {
  try ChatTemplate(source, path: "t.jinja").render(variables: variables(values), now: now, limits: limits)
}
