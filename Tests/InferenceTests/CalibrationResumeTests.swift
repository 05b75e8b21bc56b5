import Foundation
import IngotFormats
import IngotInference
import IngotModels
import IngotSystem
import IngotTensors
import Testing

/// What a calibration keeps, as if the power failed behind each layer.
@Suite struct CalibrationResumeTests {
  static let identity: JSONObject = ["context": 48, "chunks": nil]

  /// Gathers statistics, going on where what stands at `path` ends.
  static func gather(_ path: String, afterLayer: (Int) throws -> Void = { _ in }) async throws -> [Int] {
    let model = try Nano.model()
    let text = try Nano.contexts(2, of: 48)
    let hidden = model.blueprint.hiddenSize
    let writer = try CalibrationFile.Writer(path, for: model, texts: ["held-out"], identity: identity)
    try writer.begin(tokens: 96, mostForced: 8 * 40)
    var options = CalibrationOptions()
    options.workers = 2
    options.coverage = 40
    var point: PassPoint?
    if writer.layers > 0, writer.layers < 4 {
      point = PassPoint(layer: writer.layers, states: try writer.states(counts: [48 * hidden, 48 * hidden]))
    }
    var layers: [Int] = []
    if writer.layers < 4 {
      try await calibrate(model, text, options, from: point) { statistics, point throws(FormatError) in
        try writer.write(statistics)
        try writer.keep(["layer": JSON(statistics.layer)], states: point.layer == 4 ? nil : point.states)
        layers.append(statistics.layer)
        do {
          try afterLayer(statistics.layer)
        } catch {
          throw FormatError(path: path, expected: "a test that goes on", found: "\(error)")
        }
        return true
      }
    }
    #expect(writer.notes.map { $0["layer"] } == (0..<4).map { JSON($0) })
    try writer.commit()
    return layers
  }

  @Test func whatIsKeptBehindAnyLayerIsEnough() async throws {
    let folder = try CalibrationFileTests.folder()
    defer { try? FileManager.default.removeItem(atPath: folder) }
    for layer in 0..<4 {
      try FileManager.default.createDirectory(atPath: "\(folder)/\(layer)", withIntermediateDirectories: true)
    }
    #expect(
      try await Self.gather(folder + "/x.calib") { layer in
        for name in try FileManager.default.contentsOfDirectory(atPath: folder)
        where name.hasPrefix("x.calib.partial") && !name.contains("owner") {
          try FileManager.default.copyItem(atPath: "\(folder)/\(name)", toPath: "\(folder)/\(layer)/\(name)")
        }
        // Bytes that were not finished when the power failed.
        let partial = try FileHandle(forWritingTo: URL(filePath: "\(folder)/\(layer)/x.calib.partial"))
        try partial.seekToEnd()
        try partial.write(contentsOf: Data(repeating: 7, count: 100_000))
      } == [0, 1, 2, 3])
    let whole = try Data(contentsOf: URL(filePath: folder + "/x.calib"))
    for layer in 0..<4 {
      let path = "\(folder)/\(layer)/x.calib"
      #expect(try await Self.gather(path) == Array(layer + 1..<4))
      #expect(try Data(contentsOf: URL(filePath: path)) == whole, "behind layer \(layer)")
      #expect(try FileManager.default.contentsOfDirectory(atPath: "\(folder)/\(layer)") == ["x.calib"])
    }
  }

  @Test func damageIsFoundAndForceBeginsAnew() async throws {
    let folder = try CalibrationFileTests.folder()
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let path = folder + "/y/x.calib"
    try FileManager.default.createDirectory(atPath: folder + "/y", withIntermediateDirectories: true)
    _ = try await Self.gather(folder + "/x.calib") { layer in
      guard layer == 1 else { return }
      for name in try FileManager.default.contentsOfDirectory(atPath: folder)
      where name.hasPrefix("x.calib.partial") && !name.contains("owner") {
        try FileManager.default.copyItem(atPath: "\(folder)/\(name)", toPath: "\(folder)/y/\(name)")
      }
    }
    for (name, word) in [("x.calib.partial", "layers.1."), ("x.calib.partial.states.1", "checksum")] {
      let url = URL(filePath: folder + "/y/" + name)
      var bytes = try Data(contentsOf: url)
      bytes[bytes.count - 5] ^= 16
      try bytes.write(to: url)
      let error = await #expect(throws: FormatError.self) { _ = try await Self.gather(path) }
      #expect("\(error!)".contains(word) && error!.remedy == .discard, "\(error!)")
      bytes[bytes.count - 5] ^= 16
      try bytes.write(to: url)
      // The writer above is this process, which lives: a command would have ended.
      for owner in try FileManager.default.contentsOfDirectory(atPath: folder + "/y")
      where owner.contains("owner") {
        try FileManager.default.removeItem(atPath: folder + "/y/" + owner)
      }
    }
    let other = #expect(throws: FormatError.self) {
      try CalibrationFile.Writer(
        path, for: Nano.model(), texts: [], identity: ["context": 64, "chunks": nil])
    }
    #expect("\(other!)".contains("context 48") && "\(other!)".contains("64"), "\(other!)")
    #expect(try await Self.gather(path) == [2, 3])
    #expect(
      try Data(contentsOf: URL(filePath: path)) == Data(contentsOf: URL(filePath: folder + "/x.calib")))
  }
}
