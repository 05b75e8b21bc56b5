import Foundation
import IngotSystem
import IngotTensors
import Testing

/// What calibration and calibrated runs keep when they end early.
@Suite struct CalibratedResumeTests {
  @Test func finishedLayersOutliveAnErrorOfTheModel() throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    let model = folder + "/model"
    try FileManager.default.copyItem(atPath: Command.nano, toPath: model)
    let tensor = "model.layers.2.block_sparse_moe.experts.3.w2.weight"
    try CalibrateTests.scale(model, [tensor + "_scale_inv": .infinity])
    let path = folder + "/x.calib"
    func kept() throws -> [String] {
      try Folder.names(folder).filter { $0.hasPrefix("x.calib") && !$0.contains("owner") }.sorted()
    }
    var sizes: Set<Int> = []
    // Twice: a second run goes on behind what the first has kept, and comes to the same place.
    for more in [[], [], ["--force"]] as [[String]] {
      let outcome = try Command.run(
        [
          "calibrate", model, "--text", CalibrateTests.text, CalibrateTests.code, "-o", path, "--context",
          "64",
        ]
          + more)
      #expect(outcome.status == 1, "\(outcome.error)")
      #expect(
        outcome.error.contains(tensor) && outcome.error.contains("expert 3 of layer 2")
          && outcome.error.contains("token"), "\(outcome.error)")
      #expect(outcome.error.contains("statistics of 2 of 4 layers are kept"), "\(outcome.error)")
      #expect(
        try kept() == ["x.calib.partial", "x.calib.partial.journal", "x.calib.partial.states.1"])
      sizes.insert(try Data(contentsOf: URL(fileURLWithPath: path + ".partial")).count)
    }
    #expect(sizes.count == 1 && sizes.first! > 100_000, "\(sizes)")
  }

  @Test func choicesOfChannelScalesAreKept() throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    let statistics = folder + "/x.calib"
    #expect(try Command.run(CalibrateTests.arguments(statistics, "--chunks", "1")).status == 0)
    func quantize(_ path: String) -> [String] {
      [
        "quantize", Command.nano, "-o", path, "--recipe", "int4", "--importance", statistics,
        "--no-source-hash",
      ]
    }
    let (whole, path) = (folder + "/whole.ingot", folder + "/x.ingot")
    let first = try Command.run(quantize(whole) + ["--json"])
    #expect(first.status == 0, "\(first.error)")
    // An error of writing: the choices were made by then.
    let stopped = try CalibrateTests.run(quantize(path), kilobytes: 8, killing: false)
    #expect(stopped.status == 75, "\(stopped.error)")
    let journal = try String(contentsOfFile: path + ".partial.scales.journal", encoding: .utf8)
    for layer in 0..<4 { #expect(journal.contains("\"layer\":\(layer)"), "\(journal.prefix(2000))") }
    let outcome = try Command.run(quantize(path) + ["--json"])
    #expect(outcome.status == 0, "\(outcome.error)")
    let choices = try outcome.json()["calibration"]?["scales"]
    #expect(try choices != nil && choices == first.json()["calibration"]?["scales"])
    #expect(try CalibrateTests.bytes(path) == CalibrateTests.bytes(whole))
    #expect(try Folder.names(folder).sorted() == ["whole.ingot", "x.calib", "x.ingot"])
  }

  @Test func aRefittedBiasIsReported() throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    let statistics = folder + "/x.calib"
    #expect(try Command.run(CalibrateTests.arguments(statistics, "--chunks", "1")).status == 0)
    let path = folder + "/x.ingot"
    let words = [
      "quantize", Command.nano, "-o", path, "--recipe", "int4", "--importance", statistics,
      "--no-source-hash",
      "--json", "--refit-bias",
    ]
    let idle = try Command.run(words)
    #expect(idle.status == 64 && idle.error.contains("sequential"), "\(idle.error)")
    let outcome = try Command.run(words + ["--sequential", CalibrateTests.text, CalibrateTests.code])
    #expect(outcome.status == 0, "\(outcome.error)")
    let refits = try outcome.json()["routerBias"]?.array ?? []
    #expect(refits.map { $0["layer"] } == (0..<4).map { JSON($0) })
    for refit in refits {
      let counts = ["changedBefore", "changedAfter", "mended", "broken"].map { refit[$0]?.int ?? -1 }
      #expect(counts[0] - counts[1] == counts[2] - counts[3] && counts.allSatisfy { $0 >= 0 })
    }
    #expect(try Command.run("check", path).status == 0)
    // The statistics are of shorter contexts: it is the layers calibrated in turn that have seen this one.
    let seen = try Command.run(
      "verify", path, "--against", Command.nano, "--text", CalibrateTests.code, "--context", "512",
      "--chunks",
      "1")
    #expect(seen.error.contains("1 of 1 contexts (code.txt)"), "\(seen.error)")
  }
}
