import Foundation
import IngotFormats
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors

/// The top of the repository.
let repository: String = {
  var url = URL(fileURLWithPath: #filePath)
  for _ in 0..<4 { url.deleteLastPathComponent() }
  return url.path
}()

/// The embedded model.
let nano = repository + "/Tests/Fixtures/m2-nano"

/// A folder of its own for one test, removed when the value goes.
final class Scratch {
  let path: String

  init() throws {
    path =
      FileManager.default.temporaryDirectory.appending(path: "ingot-formats-\(UUID().uuidString)").path
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  /// Path of `name` in the folder.
  func callAsFunction(_ name: String) -> String { path + "/" + name }

  /// Writes a file, replacing what stands there, and returns its path.
  @discardableResult
  func write(_ name: String, _ bytes: [UInt8]) throws -> String {
    Folder.remove(self(name))
    let file = try File(creating: self(name))
    try file.write(bytes, at: 0)
    return file.path
  }

  /// Copies a folder's files.
  func copy(_ folder: String, to name: String) throws -> String {
    try FileManager.default.copyItem(atPath: folder, toPath: self(name))
    return self(name)
  }

  var names: [String] { get throws { try Folder.names(path) } }
}

/// The content of a file.
func content(_ path: String) throws -> [UInt8] { try Bytes.mapping(path).array }

extension Model {
  /// The model as a recipe makes it.
  func quantized(_ recipe: String) throws -> Model {
    try quantized(by: try Recipe.named(recipe).plan(for: self))
  }
}

extension WriteOptions {
  /// Options as tests want them.
  static func with(workers: Int = 2, force: Bool = false, split: Int? = nil, hash: Bool = true)
    -> WriteOptions
  {
    var options = WriteOptions()
    options.workers = workers
    options.force = force
    options.splitSize = split
    options.hashSource = hash
    options.provenance = ["tool": "tests"]
    return options
  }
}

/// The error that `body` throws, as its text; nil when it throws none. Any other error than FormatError is passed on.
func refusal(_ body: () throws -> Void) throws -> FormatError? {
  do {
    try body()
    return nil
  } catch let error as FormatError {
    return error
  }
}

/// `refusal` of work that waits.
func awaitedRefusal(_ body: () async throws -> Void) async throws -> FormatError? {
  do {
    try await body()
    return nil
  } catch let error as FormatError {
    return error
  }
}

/// Time that `body` takes: the better of two runs when the first is long, since machines have other things to do.
func time(_ body: () throws -> Void) rethrows -> Duration {
  let begin = ContinuousClock.now
  try body()
  let first = ContinuousClock.now - begin
  guard first > .seconds(1) else { return first }
  let again = ContinuousClock.now
  try body()
  return ContinuousClock.now - again
}
