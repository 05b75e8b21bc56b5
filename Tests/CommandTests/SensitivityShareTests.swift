import Foundation
import IngotFormats
import IngotSystem
import IngotTensors
import IngotWorkflows
import Testing

/// A sensitivity measurement by shares of the layers has the bytes of a single run.
@Suite struct SensitivityShareTests {
  private struct Run {
    let folder: String
    var model = Command.nano
    var options = [
      "--context", "32", "--chunks", "1", "--sample", "1", "--quick", "--exclude", "trellis",
    ]
    var shares: String { folder + "/shares" }
    var whole: String { folder + "/whole.sens" }
    var assembled: String { folder + "/assembled.sens" }

    init() throws { folder = try Folder.temporary() }

    func measure(_ output: String, _ more: [String]) throws -> Command.Outcome {
      try Command.run(
        ["sensitivity", model, "--text", CalibrateTests.text] + options + ["-o", output] + more)
    }

    func share(_ number: String, _ more: String...) throws -> Command.Outcome {
      try measure(shares, ["--shard", number] + more)
    }

    func assemble(_ more: String...) throws -> Command.Outcome {
      try Command.run(["assemble", shares, "-o", assembled] + more)
    }

    func part(_ number: Int, of count: Int) -> String {
      "\(shares)/sensitivity-\(number)-of-\(count).ingotpart"
    }

    /// Statistics that GPTQ and channel scales go by.
    mutating func useStatistics() throws {
      let statistics = folder + "/x.calib"
      let made = try Command.run(CalibrateTests.arguments(statistics, "--chunks", "1"))
      #expect(made.status == 0, "\(made.error)")
      options += ["--importance", statistics]
    }

    /// All shares of a number, each with another number of threads, and what is put together of them.
    func requireSharesAreTheWhole(_ count: Int) throws {
      let one = try measure(whole, [])
      #expect(one.status == 0, "\(one.error)")
      for number in (1...count).reversed() {
        let share = try share("\(number)/\(count)", "--threads", "\(1 + number % 3)")
        #expect(share.status == 0 && share.output.contains("share \(number) of \(count)"), "\(share.error)")
      }
      #expect(
        try Folder.names(shares).sorted()
          == (1...count).map { "sensitivity-\($0)-of-\(count).ingotpart" }.sorted())
      let made = try assemble("--threads", "3")
      #expect(made.status == 0, "\(made.error)")
      #expect(try CalibrateTests.bytes(assembled) == CalibrateTests.bytes(whole))
      func lines(_ outcome: Command.Outcome) -> [Substring] {
        outcome.output.split(separator: "\n").filter { !$0.contains("contexts") && !$0.contains(".sens") }
      }
      #expect(lines(made) == lines(one) && lines(made).count > 5)
    }
  }

  @Test(arguments: [1, 2, 3, 4]) func sharesAreTheWhole(_ count: Int) throws {
    let run = try Run()
    defer { Folder.remove(run.folder) }
    try run.requireSharesAreTheWhole(count)
    let more = try run.share("1/5")
    #expect(more.status == 1 && more.error.contains("a layer for each of 5 shares"), "\(more.error)")
  }

  /// Each share searches for the channel scales of its layers; the last one for all, which its models of one encoding have.
  @Test(arguments: [2, 3]) func calibratedSharesAreTheWhole(_ count: Int) throws {
    var run = try Run()
    defer { Folder.remove(run.folder) }
    try run.useStatistics()
    run.options.removeAll { $0 == "--quick" }
    try run.requireSharesAreTheWhole(count)
    // Statistics that are elsewhere now.
    let (statistics, moved) = (run.folder + "/x.calib", run.folder + "/y.calib")
    try FileManager.default.moveItem(atPath: statistics, toPath: moved)
    let absent = try run.assemble("--force")
    #expect(absent.status == 1 && absent.error.contains("--importance"), "\(absent.error)")
    #expect(try run.assemble("--force", "--importance", moved).status == 0)
  }

  @Test func formatsAreOfTheWhole() throws {
    var run = try Run()
    defer { Folder.remove(run.folder) }
    run.options += ["--format", "gguf", "ingot", "--candidates", "int5 g128 zero f16"]
    try run.requireSharesAreTheWhole(2)
    let json = try run.measure(run.shares, ["--shard", "2/2", "--force", "--json"])
    let share = try json.json()
    #expect(
      share["share"]?.int == 2 && share["shares"]?.int == 2
        && (share["firstLayer"]?.int ?? 0) + (share["layers"]?.int ?? 0) == 4, "\(json.output)")
    let known = try Command.run("inspect", run.part(1, of: 2))
    for word in ["a share of a sensitivity measurement", "1 of 2", "--shard", "ingot assemble", "layers  "] {
      #expect(known.output.contains(word), "\(word): \(known.output) \(known.error)")
    }
    let planned = try Command.run(
      "plan", Command.nano, "--sensitivity", run.part(1, of: 2), "--bits", "4", "-o", run.folder + "/p.json")
    #expect(planned.status == 1 && planned.error.contains("a share of a sensitivity"), "\(planned.error)")
  }

  private static func request(_ output: String) -> SensitivityRequest {
    var texts = TextSelection([CalibrateTests.text])
    (texts.context, texts.chunks) = (32, 1)
    var request = SensitivityRequest(Command.nano, texts: texts, to: output)
    request.excluded = ["trellis"]
    (request.effort.sample, request.effort.quick) = (1, true)
    return request
  }

  /// Runs again and again, each time up to the next layer.
  ///
  /// - Returns: how often a run was stopped.
  private static func stopped(_ run: (RunControl) async throws -> Void) async throws -> Int {
    var control = RunControl()
    control.shouldStop = { true }
    for stops in 0..<9 {
      do {
        try await run(control)
        return stops
      } catch let error as FormatError {
        #expect(error.cause == .stopped && error.isResumable, "\(error)")
      }
    }
    return 9
  }

  @Test func interruptedSharesResume() async throws {
    let run = try Run()
    defer { Folder.remove(run.folder) }
    _ = try await Self.request(run.whole).run()
    // Before the share's layers, in them and behind them.
    for number in 1...3 {
      let share = try #require(Share("\(number)/3"))
      let stops = try await Self.stopped { _ = try await Self.request(run.shares).run(share, $0) }
      #expect(stops == 4, "one for each layer")
    }
    #expect(try Folder.names(run.shares).count == 3)
    let shares = try SensitivityShares(run.shares)
    let stops = try await Self.stopped { _ = try await Self.request(run.assembled).assemble(shares, $0) }
    #expect(stops == 4, "plans pass each layer")
    #expect(try CalibrateTests.bytes(run.assembled) == CalibrateTests.bytes(run.whole))
    #expect(try Folder.names(run.folder).sorted() == ["assembled.sens", "shares", "whole.sens"])
  }

  @Test func whatIsNoWholeIsNamed() throws {
    let run = try Run()
    defer { Folder.remove(run.folder) }
    func refused(_ words: String..., more: [String] = []) throws {
      let outcome = try Command.run(["assemble", run.shares, "-o", run.assembled] + more)
      #expect(outcome.status == 1 && !Folder.exists(run.assembled), "\(words): \(outcome.output)")
      for word in words { #expect(outcome.error.contains(word), "\(word): \(outcome.error)") }
    }
    #expect(try run.share("1/3").status == 0 && run.share("3/3").status == 0)
    try refused("expected 3 shares, found 2: 2 is missing", "--shard i/3")
    try Data().write(to: URL(fileURLWithPath: run.part(2, of: 3) + ".partial.pass.journal"))
    try refused("2 is missing, of which 2 is begun")
    Folder.remove(run.part(2, of: 3) + ".partial.pass.journal")
    // Made again, it is refused without --force, and the same bytes with it.
    let path = run.part(3, of: 3)
    let before = try CalibrateTests.bytes(path)
    let again = try run.share("3/3")
    #expect(again.status == 1 && again.error.contains("--force"), "\(again.error)")
    #expect(try run.share("3/3", "--force", "--threads", "1").status == 0)
    #expect(try CalibrateTests.bytes(path) == before)
    // Of another number of shares, other options, other contexts, with statistics.
    func foreign(
      _ number: String, _ more: [String], _ words: String..., change: (inout Run) throws -> Void = { _ in }
    ) throws {
      var other = run
      try change(&other)
      let made = try other.measure(run.folder + "/other", ["--shard", number, "--force"] + more)
      #expect(made.status == 0, "\(made.error)")
      let name = number.replacing("/", with: "-of-")
      try CalibrateTests.bytes(run.folder + "/other/sensitivity-\(name).ingotpart").write(
        to: URL(fileURLWithPath: run.part(2, of: 3)))
      for word in ["sensitivity-2-of-3.ingotpart"] + words { try refused(word) }
    }
    try foreign("2/4", [], "one of 3 shares", "one of 4")
    try foreign("1/3", [], "each share once")
    try foreign(
      "2/3", ["--candidates", "int5 g128 zero f16"], "candidates.int5 g128 zero f16",
      "is of another measurement")
    try foreign("2/3", ["--reference", "int4 g64 zero f16"], "reference", "int4 g64 zero f16")
    try foreign("2/3", [], "quick") { $0.options.removeAll { $0 == "--quick" } }
    try foreign("2/3", [], "tokens of the contexts") { $0.options[1] = "48" }
    try foreign("2/3", [], "importance", "is of another measurement") { try $0.useStatistics() }
    #expect(try run.measure(run.shares, ["--shard", "2/3", "--force"]).status == 0)
    // Another model than that of the shares, and one that is not there.
    let other = run.folder + "/model"
    try FileManager.default.copyItem(atPath: Command.nano, toPath: other)
    let config = try String(contentsOfFile: other + "/config.json", encoding: .utf8)
    let changed = config.replacing("\"rope_theta\": ", with: "\"rope_theta\": 1")
    #expect(changed != config)
    try changed.write(toFile: other + "/config.json", atomically: true, encoding: .utf8)
    try refused("side files.config.json", "this command", more: ["--model", other])
    try refused("nowhere", "--model", more: ["--model", run.folder + "/nowhere"])
    // A byte of what was measured, of the description, and the end.
    for (place, words) in [(40, "make this share again"), (-300, "make this share again"), (-1, "INGOTSHR")] {
      var damaged = before
      damaged[place < 0 ? damaged.count + place : place] ^= 1
      try damaged.write(to: URL(fileURLWithPath: path))
      try refused("sensitivity-3-of-3", words)
    }
    try before.write(to: URL(fileURLWithPath: path))
    #expect(try run.assemble().status == 0)
    let there = try run.assemble()
    #expect(there.status == 1 && there.error.contains("--force"), "\(there.error)")
  }

  @Test func whatIsNotDoneByShares() throws {
    let run = try Run()
    defer { Folder.remove(run.folder) }
    #expect(try run.share("1/1").status == 0)
    for (arguments, words) in [
      (["-o", run.folder + "/x.ingot"], ".sens"), ([], ".sens"),
      (["-o", run.assembled, "--split-size", "1MB"], "--split-size"),
      (["-o", run.assembled, "--max-kld", "1"], "ingot verify"),
    ] {
      let refused = try Command.run(["assemble", run.shares] + arguments)
      #expect(refused.status == 64 && refused.error.contains(words), "\(arguments): \(refused.error)")
    }
    let cost = try run.share("1/2", "--cost")
    #expect(cost.status == 64 && cost.error.contains("--cost"), "\(cost.error)")
    let none = try Command.run("assemble", run.folder, "-o", run.assembled)
    #expect(none.status == 1 && none.error.contains("sensitivity-1-of-n"), "\(none.error)")
    // The other suffix of such files.
    let json = try Command.run("assemble", run.shares, "-o", run.folder + "/x.json", "--json")
    #expect(
      try json.status == 0 && json.json()["output"]?.string?.hasSuffix("x.json") == true, "\(json.error)")
  }

  @Test func aShareHasOneWorker() throws {
    let run = try Run()
    defer { Folder.remove(run.folder) }
    try FileManager.default.createDirectory(atPath: run.shares, withIntermediateDirectories: true)
    // As another run has it that is alive: this process.
    let owner = run.part(1, of: 2) + ".partial.pass.owner.1"
    try FileManager.default.createSymbolicLink(
      atPath: owner, withDestinationPath: "\(Owner.Identity.current)")
    let refused = try run.share("1/2")
    #expect(refused.status == 1 && refused.error.contains("no other run"), "\(refused.error)")
    // One of another machine, which only the user can know to have ended.
    Folder.remove(owner)
    try FileManager.default.createSymbolicLink(atPath: owner, withDestinationPath: "elsewhere boot 17 3")
    let elsewhere = try run.share("1/2")
    #expect(elsewhere.status == 1 && elsewhere.error.contains("--take-over"), "\(elsewhere.error)")
    #expect(try run.share("1/2", "--take-over").status == 0)
    #expect(try Folder.names(run.shares) == ["sensitivity-1-of-2.ingotpart"])
  }

  /// The least that the most expensive range can cost, by all ways to cut.
  private func least(_ costs: ArraySlice<Int>, last: Int, into count: Int) -> Int {
    if count == 1 { return costs.reduce(last, +) }
    return (1...costs.count - count + 1).map { first in
      max(costs.prefix(first).reduce(0, +), least(costs.dropFirst(first), last: last, into: count - 1))
    }.min()!
  }

  @Test func layersAreCutEvenly() throws {
    func cost(_ ranges: [Range<Int>], _ costs: [Int], last: Int) -> Int {
      ranges.map { costs[$0].reduce($0.upperBound == costs.count ? last : 0, +) }.max()!
    }
    for layers in 1...9 {
      let costs = (0..<layers).map { 22 + 9 * (layers - $0) }
      for last in [0, 7 * layers, 1000] {
        for count in 1...layers {
          let ranges = try #require(LayerRanges.cut(costs, last: last, into: count))
          #expect(ranges.count == count && ranges.flatMap(Array.init) == Array(0..<layers))
          #expect(cost(ranges, costs, last: last) == least(costs[...], last: last, into: count))
        }
        #expect(LayerRanges.cut(costs, last: last, into: layers + 1) == nil)
      }
    }
    // As large models have them: the most that a share has is little above the mean.
    let ranges = try #require(LayerRanges.shares(8, layers: 62, uniform: 3, head: 4))
    let costs = (0..<62).map { 22 + 9 * (65 - $0) }
    let (last, total) = (7 * 62 + 16, costs.reduce(7 * 62 + 16, +))
    #expect(Double(cost(ranges, costs, last: last)) < 1.1 * Double(total) / 8, "\(ranges)")
  }
}
