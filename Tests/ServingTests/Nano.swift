import Foundation
import IngotServing
import IngotSystem
import IngotWorkflows

/// The embedded model, served.
enum Nano {
  static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "Fixtures/m2-nano").path()
  /// A template with places for tools, as the family's is.
  static let template = URL(filePath: #filePath).deletingLastPathComponent()
    .appending(path: "tools.jinja").path()

  /// A file that stays until the tests' folder is cleared.
  static func temporary(_ text: String, _ suffix: String) throws -> String {
    let path = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString + suffix).path()
    try text.write(toFile: path, atomically: true, encoding: .utf8)
    return path
  }

  static func model(_ context: Int = 1024, tools: Bool = true) throws -> ServedModel {
    var control = RunControl()
    control.workers = 2
    return try ServedModel(
      folder, name: "nano", context: context, chatTemplate: tools ? template : nil, control)
  }

  static func service(_ change: (inout ServingService.Options) -> Void = { _ in }) throws -> ServingService {
    var options = ServingService.Options()
    change(&options)
    return ServingService(try model(), options)
  }
}

extension ServingService {
  /// The response to a request, its body as text.
  func post(_ path: String, _ json: JSON, _ headers: [String: String] = [:]) async -> (
    status: Int, text: String
  ) {
    await post(path, Array(json.text().utf8), headers)
  }

  func post(_ path: String, _ body: [UInt8], _ headers: [String: String] = [:]) async -> (
    status: Int, text: String
  ) {
    let head = ServiceHead(method: "POST", path: path, headers: headers)
    let early = respond(before: head)
    let response = if let early { early } else { await respond(head, body) }
    switch response.body {
    case .whole(let text): return (response.status, text)
    case .stream(let texts):
      var all = ""
      for await text in texts { all += text }
      return (response.status, all)
    }
  }
}

extension String {
  var json: JSON { (try? JSON.parse(Array(utf8), path: "")) ?? .null }

  /// The data of a stream's events.
  var events: [JSON] {
    split(separator: "\n").filter { $0.hasPrefix("data: ") && $0 != "data: [DONE]" }.map {
      String($0.dropFirst(6)).json
    }
  }
}
