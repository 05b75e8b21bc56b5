import IngotSystem
import IngotTemplates

// Reads JSON lines, writes JSON lines.
//   {"define": NAME, "source": TEXT}
//   {"use": NAME, "messages": [...], "tools": [...], "add_generation_prompt": BOOL, "variables": {...}, "now": [...]}
//   {"use": NAME, "variables": {...}}     without messages: these variables alone
//   {"expression": TEXT, "variables": {...}}

func time(_ json: JSON?) -> TemplateTime? {
  guard let parts = json?.array?.compactMap(\.int), parts.count == 6 else { return nil }
  return TemplateTime(
    year: parts[0], month: parts[1], day: parts[2], hour: parts[3], minute: parts[4], second: parts[5])
}

func render(_ template: ChatTemplate, _ json: JSON) throws(FormatError) -> String {
  var variables: [(name: String, value: JSON)] = []
  for (name, value) in json["variables"]?.object ?? [:] { variables.append((name, value)) }
  guard let messages = json["messages"]?.array else {
    return try template.render(variables: variables, now: time(json["now"]))
  }
  return try template.render(
    messages: messages, tools: json["tools"]?.array,
    addGenerationPrompt: json["add_generation_prompt"]?.bool ?? false, variables: variables,
    now: time(json["now"]))
}

var templates: [String: Result<ChatTemplate, FormatError>] = [:]
var number = 0
let clock = ContinuousClock()
var spent = Duration.zero
while let line = readLine() {
  number += 1
  do {
    let json = try JSON.parse(Array(line.utf8), path: "line \(number)")
    if let name = json["define"]?.string {
      do throws(FormatError) {
        templates[name] = .success(try ChatTemplate(json["source"]?.string ?? "", path: name))
      } catch {
        templates[name] = .failure(error)
      }
      continue
    }
    let start = clock.now
    let text: String
    if let name = json["use"]?.string {
      guard let template = templates[name] else { fatalError("unknown template \(name)") }
      text = try render(try template.get(), json)
    } else {
      text = try render(try ChatTemplate(json["expression"]?.string ?? "", path: "expression"), json)
    }
    spent += clock.now - start
    print(JSON.object(["text": .string(text)]).text())
  } catch {
    print(JSON.object(["error": .string("\(error)")]).text())
  }
}
if CommandLine.arguments.contains("--time") {
  print(JSON.object(["seconds": .string("\(spent)")]).text())
}
