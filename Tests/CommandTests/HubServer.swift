import Foundation
import IngotSystem
import Testing

/// scripts/tools serve-hub: models on this machine that are read as from the Hugging Face Hub.
final class HubServer {
  let endpoint: String

  /// - Parameter arguments: ORGANIZATION/NAME=FOLDER, options.
  init(_ arguments: String...) throws {
    let script = Command.repository.appending(path: "scripts/tools").path
    let own = ["--detach", "\(ProcessInfo.processInfo.processIdentifier)"]
    let outcome = try HubServer.python(["-B", script, "serve-hub"] + own + arguments)
    let line = outcome.output.prefix { !$0.isNewline }
    endpoint = String(line.trimmingPrefix("HF_ENDPOINT="))
    try #require(endpoint.hasPrefix("http://"), "scripts/tools serve-hub does not start: \(outcome.error)")
  }

  deinit { _ = try? ask("/_end", "{}") }

  private static func python(_ arguments: [String]) throws -> Command.Outcome {
    try Command.run(["python3"] + arguments, program: URL(fileURLWithPath: "/usr/bin/env"))
  }

  /// Sets what goes wrong from here on.
  func faults(_ wish: JSON) throws { _ = try ask("/_faults", wish.text()) }

  func stats() throws -> JSON { try JSON.parse(Array(ask("/_stats", nil).utf8), path: "/_stats") }

  private func ask(_ path: String, _ body: String?) throws -> String {
    let program = """
      import sys, urllib.request
      body = sys.argv[2].encode() if len(sys.argv) > 2 else None
      sys.stdout.write(urllib.request.urlopen(sys.argv[1], body).read().decode())
      """
    let outcome = try HubServer.python(["-c", program, endpoint + path] + (body.map { [$0] } ?? []))
    try #require(outcome.status == 0, "\(path): \(outcome.error)")
    return outcome.output
  }

  /// Runs the command with this Hub, a cache of its own at `home`, and nothing else of the caller's.
  func run(_ arguments: [String], home: String, environment: [String: String] = [:]) throws -> Command.Outcome
  {
    var settings = ["HF_ENDPOINT": endpoint, "HF_HOME": home, "HF_HUB_DOWNLOAD_TIMEOUT": "1"]
    for name in [
      "HF_TOKEN", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE", "http_proxy", "HTTP_PROXY",
      "all_proxy",
    ] {
      settings[name] = ""
    }
    return try Command.run(arguments, environment: settings.merging(environment) { $1 })
  }
}
