import Foundation
import IngotSystem
import IngotTensors
import IngotWorkflows
import Synchronization
import Testing

/// What a run says after it was interrupted and resumed: the same as one that was not.
@Suite struct InterruptedRunTests {
  private final class Pieces: Sendable { let count = Atomic<Int>(0) }

  /// Quantizes until some pieces have been written.
  ///
  /// - Returns: the error that says so.
  static func interrupted(_ request: QuantizeRequest, after pieces: Int) async throws -> FormatError? {
    let written = Pieces()
    var control = RunControl()
    control.workers = 1
    control.progress = { _, _ in written.count.add(1, ordering: .relaxed) }
    control.shouldStop = { written.count.load(ordering: .relaxed) >= pieces }
    do {
      _ = try await request.run(control)
      return nil
    } catch let error as FormatError {
      return error
    }
  }

  private final class Warnings: Sendable { let lines = Mutex<[String]>([]) }

  /// Some experts' down projections, of several layers, in which a quarter of the blocks is tiny beside the others.
  private static let small = [0, 1, 3].flatMap { layer in
    [1, 6].map { "model.layers.\(layer).block_sparse_moe.experts.\($0).w2.weight_scale_inv" }
  }

  @Test(arguments: ["int4", "q8_0"]) func coarseScalesOfFinishedTensorsAreCounted(_ recipe: String)
    async throws
  {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    let model = folder + "/model"
    try FileManager.default.copyItem(atPath: Command.nano, toPath: model)
    try CalibrateTests.scale(
      model, Dictionary(uniqueKeysWithValues: Self.small.map { ($0, Float(1e-12)) }), first: 1)
    func request(_ name: String) -> QuantizeRequest {
      var request = QuantizeRequest(model, to: folder + "/" + name + (recipe == "int4" ? ".ingot" : ".gguf"))
      request.choice = .recipe(recipe)
      return request
    }
    func finished(_ request: QuantizeRequest) async throws -> (coarse: JSON?, lines: [String]) {
      let warnings = Warnings()
      var control = RunControl()
      control.warning = { line in warnings.lines.withLock { $0.append(line) } }
      let result = try await request.run(control)
      return (result.json["coarseScales"], warnings.lines.withLock { $0.filter { $0.contains("blocks of") } })
    }
    let whole = try await finished(request("whole"))
    #expect(whole.coarse?["tensors"]?.int == Self.small.count, "\(whole)")
    #expect(whole.lines.count == 1 && whole.lines[0].contains("6 tensors"), "\(whole)")
    // Twice, before the first of them is done and after some are.
    for pieces in [2, 60] {
      let error = try await Self.interrupted(request("again"), after: pieces)
      #expect(error?.cause == .stopped && error?.isResumable == true, "\(String(describing: error))")
    }
    let journal = try #require(try Folder.names(folder).first { $0.hasSuffix(".partial.journal") })
    let kept = try String(contentsOfFile: folder + "/" + journal, encoding: .utf8)
    #expect(kept.contains("\"coarse\""), "some of them were finished before")
    let again = try await finished(request("again"))
    #expect(again.coarse == whole.coarse && again.lines == whole.lines, "\(again)")
  }

  @Test func replacedValuesOfFinishedTensorsAreCounted() async throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    let model = folder + "/model"
    try FileManager.default.copyItem(atPath: Command.nano, toPath: model)
    try CalibrateTests.scale(
      model, Dictionary(uniqueKeysWithValues: Self.small.map { ($0, Float.infinity) }), first: 1)
    func request(_ name: String) -> QuantizeRequest {
      var request = QuantizeRequest(model, to: folder + "/" + name + ".ingot")
      request.allowsNonfinite = true
      return request
    }
    let whole = try await request("whole").run(RunControl())
    #expect(whole.replacedNonfinite > 0)
    for pieces in [2, 60] {
      let error = try await Self.interrupted(request("again"), after: pieces)
      #expect(error?.cause == .stopped && error?.isResumable == true, "\(String(describing: error))")
    }
    let journal = try String(contentsOfFile: folder + "/again.ingot.partial.journal", encoding: .utf8)
    #expect(journal.contains("\"replaced\""), "some of them were finished before")
    let again = try await request("again").run(RunControl())
    #expect(again.replacedNonfinite == whole.replacedNonfinite)
  }
}
