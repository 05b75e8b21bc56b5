import Foundation
import IngotSystem
import IngotTensors
import Testing

/// Runs the built command as a user would.
struct Command {
  static let repository = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
  static let nano = repository.appending(path: "Tests/Fixtures/m2-nano").path

  struct Outcome {
    var status: Int32
    var output: String
    var error: String

    /// The one JSON object on standard output.
    func json() throws -> JSON { try JSON.parse(Array(output.utf8), path: "stdout") }
  }

  /// The products stand beside the test bundle.
  static var executable: URL {
    var folder = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
    while folder.pathComponents.count > 1 {
      let candidate = folder.appending(path: "ingot")
      if FileManager.default.isExecutableFile(atPath: candidate.path) { return candidate }
      folder.deleteLastPathComponent()
    }
    return repository.appending(path: ".build/release/ingot")
  }

  static func run(_ arguments: String..., environment: [String: String] = [:], program: URL? = nil) throws
    -> Outcome
  {
    try run(arguments, environment: environment, program: program)
  }

  static func run(_ arguments: [String], environment: [String: String] = [:], program: URL? = nil) throws
    -> Outcome
  {
    let process = Process()
    process.executableURL = program ?? executable
    process.arguments = arguments
    process.currentDirectoryURL = repository
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    // Files rather than pipes: a pipe that nobody reads would stop the command.
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    _ = FileManager.default.createFile(atPath: folder + "/out", contents: nil)
    _ = FileManager.default.createFile(atPath: folder + "/err", contents: nil)
    process.standardOutput = FileHandle(forWritingAtPath: folder + "/out")
    process.standardError = FileHandle(forWritingAtPath: folder + "/err")
    process.standardInput = FileHandle.nullDevice
    try process.run()
    process.waitUntilExit()
    return Outcome(
      status: process.terminationStatus,
      output: String(decoding: try Data(contentsOf: URL(fileURLWithPath: folder + "/out")), as: UTF8.self),
      error: String(decoding: try Data(contentsOf: URL(fileURLWithPath: folder + "/err")), as: UTF8.self))
  }
}

extension Folder {
  /// A new folder of its own under the system's temporary one.
  static func temporary() throws -> String {
    let path = NSTemporaryDirectory() + "ingot-test-" + UUID().uuidString
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    return path
  }
}

/// Holds text against a file beside the tests; with RECORD=1 in the environment it writes the file and fails.
func expectSnapshot(_ text: String, _ name: String, sourceLocation: SourceLocation = #_sourceLocation) throws
{
  let url = Command.repository.appending(path: "Tests/CommandTests/Snapshots/\(name).txt")
  if ProcessInfo.processInfo.environment["RECORD"] == "1" {
    try FileManager.default.createDirectory(
      at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
    try Data(text.utf8).write(to: url)
    Issue.record("recorded \(name); run again without RECORD", sourceLocation: sourceLocation)
    return
  }
  let expected = try String(contentsOf: url, encoding: .utf8)
  #expect(text == expected, "snapshot \(name); RECORD=1 writes it anew", sourceLocation: sourceLocation)
}
