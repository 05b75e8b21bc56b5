import Foundation
import Testing

/// Runs formats/ingot/reader.py, a call of the package in python/, which shares no code with this one.
struct Python {
  struct Outcome: Sendable {
    var status: Int32
    var output: String
    var error: String
  }

  /// Whether tests may go without it: only when the environment says so, never because it is missing.
  static var isWanted: Bool { ProcessInfo.processInfo.environment["INGOT_NO_PYTHON"] != "1" }

  /// A python3 with numpy: $INGOT_PYTHON, or the first in PATH.
  static let command = ProcessInfo.processInfo.environment["INGOT_PYTHON"] ?? "python3"

  private static let numpy = Result { try run(["-c", "import numpy"]) }

  /// Runs `reader.py arguments`; fails the test when there is no Python with numpy.
  static func reader(_ arguments: [String]) throws -> Outcome {
    let check = try numpy.get()
    try #require(
      check.status == 0,
      """
      '\(command)' with numpy is needed (scripts/setup installs it; INGOT_NO_PYTHON=1 leaves these tests out): \
      \(check.error)
      """)
    return try run([repository + "/formats/ingot/reader.py"] + arguments)
  }

  private static func run(_ arguments: [String]) throws -> Outcome {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = [command, "-B"] + arguments
    // Files instead of pipes: whatever is printed, nobody waits for anybody.
    let scratch = try Scratch()
    let paths = [try scratch.write("output", []), try scratch.write("error", [])]
    let handles = paths.compactMap { FileHandle(forWritingAtPath: $0) }
    process.standardOutput = handles[0]
    process.standardError = handles[1]
    process.standardInput = FileHandle.nullDevice
    try process.run()
    process.waitUntilExit()
    let texts = try paths.map { String(decoding: try content($0), as: UTF8.self) }
    return Outcome(status: process.terminationStatus, output: texts[0], error: texts[1])
  }
}
