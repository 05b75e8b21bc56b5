import Foundation
import IngotFormats
import IngotInference
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors
import Synchronization
import Testing

/// A comparison that was stopped between two layers goes on to the figures of one that was not.
@Suite struct VerifyResumeTests {
  private final class Count: Sendable { let layers = Atomic<Int>(0) }

  /// Everything but the time it took.
  private func figures(_ report: VerificationReport) throws -> String {
    var object = try #require(report.json.object)
    object["seconds"] = nil
    return JSON.object(object).text()
  }

  @Test func stoppedAfterEveryLayer() async throws {
    let model = try Nano.model()
    let candidate = try model.quantized(by: Recipe.named("int4").plan(for: model))
    let contexts = try Nano.contexts(3, of: 64)
    var options = VerificationOptions()
    options.workers = 2
    let wanted = try figures(await verify(candidate, against: model, contexts, options))
    let folder = FileManager.default.temporaryDirectory.appending(path: "ingot-verify-\(UUID().uuidString)")
      .path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    var store = PassStore(path: folder + "/state")
    store.shouldStop = { true }
    options.store = store
    for layer in 1...4 {
      let passed = Count()
      options.workers = layer
      options.progress = { passed.layers.store($0.layers, ordering: .relaxed) }
      let error = await #expect(throws: FormatError.self) {
        try await verify(candidate, against: model, contexts, options)
      }
      let found = try #require(error)
      #expect(found.cause == .stopped && found.isResumable, "\(found)")
      #expect(passed.layers.load(ordering: .relaxed) == layer, "one layer a run")
      #expect(try Folder.names(folder) == ["state", "state.journal"])
    }
    // Other texts are another comparison.
    options.progress = nil
    let other = try Nano.contexts(2, of: 64)
    let refused = await #expect(throws: FormatError.self) {
      try await verify(candidate, against: model, other, options)
    }
    #expect(try #require(refused).expected.hasPrefix("contexts 3"), "\(String(describing: refused))")
    // States that are not those the journal tells of.
    let bytes = try Bytes.mapping(folder + "/state").array
    let file = try File(continuing: folder + "/state")
    try file.write([bytes[bytes.count - 9] ^ 1], at: bytes.count - 9)
    let broken = await #expect(throws: FormatError.self) {
      try await verify(candidate, against: model, contexts, options)
    }
    #expect(try #require(broken).found == "others")
    try file.write([bytes[bytes.count - 9]], at: bytes.count - 9)
    store.shouldStop = nil
    options.store = store
    #expect(try figures(await verify(candidate, against: model, contexts, options)) == wanted)
    #expect(try Folder.names(folder) == [])
  }

  @Test func aRunWithoutTimeWritesNothing() async throws {
    let model = try Nano.model()
    var options = VerificationOptions()
    let path = FileManager.default.temporaryDirectory.appending(path: "ingot-\(UUID().uuidString)").path
    options.store = PassStore(path: path, interval: .seconds(3600))
    _ = try await verify(model, against: model, Nano.contexts(1, of: 16), options)
    #expect(!Folder.exists(path) && !Folder.exists(path + ".journal"))
  }

  /// Hours of work are not lost because a report could not be written.
  @Test func whatIsKeptStaysUntilTheReportIsDelivered() async throws {
    let model = try Nano.model()
    let candidate = try model.quantized(by: Recipe.named("int4").plan(for: model))
    let contexts = try Nano.contexts(2, of: 64)
    let folder = FileManager.default.temporaryDirectory.appending(path: "ingot-verify-\(UUID().uuidString)")
      .path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    var options = VerificationOptions()
    options.store = PassStore(path: folder + "/state")
    for cause in [FormatError.Cause.content, .system(28)] {
      let error = await #expect(throws: FormatError.self) {
        try await verify(candidate, against: model, contexts, options) { _ throws(FormatError) in
          var error = FormatError(path: "report.html", expected: "room", found: "none")
          error.cause = cause
          throw error
        }
      }
      #expect(try #require(error).isResumable && error?.path == "report.html")
      #expect(try Folder.names(folder) == ["state", "state.journal"])
    }
    // No layer is passed again: this would stop behind the first.
    options.store?.shouldStop = { true }
    var delivered: String?
    let report = try await verify(candidate, against: model, contexts, options) {
      report throws(FormatError) in
      delivered = report.json.text()
      #expect((try? Set(Folder.names(folder)).isSuperset(of: ["state", "state.journal"])) == true)
    }
    #expect(delivered == report.json.text())
    #expect(try Folder.names(folder) == [])
    options.store = nil
    #expect(try figures(report) == figures(await verify(candidate, against: model, contexts, options)))
  }
}
