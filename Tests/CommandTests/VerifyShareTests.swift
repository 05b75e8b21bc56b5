import Foundation
import IngotSystem
import IngotTensors
import Testing

/// A verification by shares of the contexts has the figures of a single run.
@Suite struct VerifyShareTests {
  private struct Run {
    let folder: String
    let candidate: String
    var texts = [CalibrateTests.text]
    var options = ["--context", "64", "--chunks", "7"]
    var shares: String { folder + "/shares" }

    init() throws {
      folder = try Folder.temporary()
      candidate = folder + "/x.ingot"
      let made = try Command.run("quantize", Command.nano, "--recipe", "int3", "-o", candidate)
      #expect(made.status == 0, "\(made.error)")
    }

    func verify(_ more: [String]) throws -> Command.Outcome {
      try Command.run(
        ["verify", candidate, "--against", Command.nano, "--text"] + texts + options + more)
    }

    func share(_ number: String, _ more: String...) throws -> Command.Outcome {
      try verify(["--shard", number, "-o", shares] + more)
    }

    func assemble(_ more: String...) throws -> Command.Outcome {
      try Command.run(["assemble", shares] + more)
    }

    /// Conversations with calls of tools, of several lengths.
    mutating func useConversations() {
      texts = [FidelityTests.conversations]
      options = [
        "--chat-template", FidelityTests.template, "--conversations", "--context", "512", "--chunks", "6",
      ]
    }
  }

  /// Everything but when and by which command it was made.
  private func figures(_ outcome: Command.Outcome) throws -> String {
    #expect(outcome.status == 0, "\(outcome.error)")
    var object = try #require(try outcome.json().object)
    #expect(object["seconds"]?.double ?? -1 >= 0)
    object["seconds"] = nil
    var run = try #require(object["run"]?.object)
    for key in ["command", "threads", "shares"] { run[key] = nil }
    object["run"] = .object(run)
    return JSON.object(object).text(indented: true)
  }

  @Test(arguments: [1, 2, 3, 7]) func sharesAreTheWhole(_ count: Int) throws {
    let run = try Run()
    defer { Folder.remove(run.folder) }
    let whole = try run.verify(["--json"])
    // In any order, each with another number of threads.
    for number in (1...count).reversed() {
      let share = try run.share("\(number)/\(count)", "--threads", "\(1 + number % 3)")
      #expect(share.status == 0 && share.output.contains("share \(number) of \(count)"), "\(share.error)")
    }
    #expect(
      try Folder.names(run.shares).sorted()
        == (1...count).map { "verification-\($0)-of-\(count).ingotpart" }.sorted())
    let assembled = try run.assemble("--json")
    let wanted = try figures(whole)
    #expect(try figures(assembled) == wanted)
    #expect(try assembled.json()["run"]?["shares"]?.int == count)
    #expect(try wanted.contains("\"p999\"") && whole.json()["worst"]?.array?.count == 20)
    // The table, and what is written.
    let (page, file) = (run.folder + "/v.html", run.folder + "/v.json")
    let table = try run.assemble("--html", page, "-o", file)
    func lines(_ outcome: Command.Outcome) -> [Substring] {
      outcome.output.split(separator: "\n").filter { !$0.contains("predictions scored") }
    }
    #expect(try lines(table) == lines(run.verify([])) && lines(table).count > 10 && Folder.exists(page))
    var written = table
    written.output = try String(contentsOfFile: file, encoding: .utf8)
    #expect(try figures(written) == wanted)
  }

  /// Standard errors, spans and calls are of all conversations, which have several lengths.
  @Test func conversationsByShares() throws {
    var run = try Run()
    defer { Folder.remove(run.folder) }
    run.useConversations()
    let whole = try run.verify(["--json", "--fast"])
    #expect(
      try whole.json()["toolCalls"]?["count"]?.int ?? 0 > 1 && whole.json()["spans"]?.array?.count ?? 0 > 3)
    for number in 1...3 { #expect(try run.share("\(number)/3", "--fast").status == 0) }
    #expect(try figures(run.assemble("--json")) == figures(whole))
  }

  @Test func tolerancesAreForTheWhole() throws {
    let run = try Run()
    defer { Folder.remove(run.folder) }
    for number in 1...2 { #expect(try run.share("\(number)/2").status == 0) }
    let outside = try run.assemble("--max-kld", "0.0001", "--json")
    #expect(outside.status == 2 && outside.error.contains("mean KL divergence"), "\(outside.error)")
    #expect(try outside.json()["violations"]?.array?.count == 1)
    #expect(try run.assemble("--max-kld", "10").status == 0)
    for (options, words) in [
      (["--max-kld", "1"], "ingot assemble"), (["--html", "x.html"], "ingot assemble"),
      (["--card"], "ingot assemble"), (["--plan", "x.json"], "ingot assemble"),
      (["--state", "x"], "--output"), (["--generate", "1"], "by shares"),
    ] {
      let refused = try run.verify(["--shard", "1/2", "-o", run.shares] + options)
      #expect(refused.status == 64 && refused.error.contains(words), "\(options): \(refused.error)")
    }
    for (options, words) in [
      (["--shard", "1/2"], "--output"), (["-o", run.shares], "--shard"), (["--take-over"], "--shard"),
    ] {
      let refused = try run.verify(options)
      #expect(refused.status == 64 && refused.error.contains(words), "\(options): \(refused.error)")
    }
    let other = try Command.run(
      "assemble", run.shares, "-o", run.folder + "/y.ingot", "--max-kld", "1")
    #expect(other.status == 64 && other.error.contains("ingot verify"), "\(other.error)")
    let none = try Command.run("assemble", run.folder)
    #expect(none.status == 64 && none.error.contains("--output"), "\(none.error)")
  }

  @Test func whatIsNoWholeIsNamed() throws {
    var run = try Run()
    defer { Folder.remove(run.folder) }
    func refused(_ words: String...) throws {
      let outcome = try run.assemble("--json")
      #expect(outcome.status == 1, "\(words)")
      for word in words { #expect(outcome.error.contains(word), "\(outcome.error)") }
    }
    #expect(try run.share("1/3").status == 0 && run.share("3/3").status == 0)
    try refused("expected 3 shares, found 2: 2 is missing", "--shard i/3")
    try Data().write(
      to: URL(fileURLWithPath: run.shares + "/verification-2-of-3.ingotpart.partial.pass.journal"))
    try refused("2 is missing, of which 2 is begun")
    Folder.remove(run.shares + "/verification-2-of-3.ingotpart.partial.pass.journal")
    // Made again, it is refused without --force, and the same bytes with it.
    let path = run.shares + "/verification-3-of-3.ingotpart"
    let before = try Data(contentsOf: URL(fileURLWithPath: path))
    let again = try run.share("3/3")
    #expect(again.status == 1 && again.error.contains("--force"), "\(again.error)")
    #expect(try run.share("3/3", "--force", "--threads", "1").status == 0)
    #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == before)
    // Of another number of shares, other options, other texts, another candidate.
    let second = run.shares + "/verification-2-of-3.ingotpart"
    func foreign(
      _ number: String, _ more: [String], _ words: String..., change: (inout Run) -> Void = { _ in }
    )
      throws
    {
      var other = run
      change(&other)
      let made = try other.verify(["--shard", number, "-o", run.folder + "/other", "--force"] + more)
      #expect(made.status == 0, "\(made.error)")
      let name = number.replacing("/", with: "-of-")
      try Data(contentsOf: URL(fileURLWithPath: run.folder + "/other/verification-\(name).ingotpart")).write(
        to: URL(fileURLWithPath: second))
      let outcome = try run.assemble("--json")
      for word in ["verification-2-of-3.ingotpart"] + words {
        #expect(outcome.status == 1 && outcome.error.contains(word), "\(outcome.error)")
      }
    }
    try foreign("2/4", [], "one of 3 shares", "one of 4")
    try foreign("2/3", ["--fast"], "fast", "is of another comparison")
    try foreign("2/3", ["--worst", "3"], "worst")
    try foreign("2/3", [], "contexts") { $0.options = ["--context", "64", "--chunks", "6"] }
    try foreign("1/3", [], "each share once")
    let coarse = run.folder + "/y.ingot"
    #expect(try Command.run("quantize", Command.nano, "--recipe", "int4", "-o", coarse).status == 0)
    let candidate = run.folder + "/elsewhere"
    try FileManager.default.createDirectory(atPath: candidate, withIntermediateDirectories: true)
    try FileManager.default.copyItem(atPath: coarse, toPath: candidate + "/x.ingot")
    func verifyOther() throws {
      let made = try Command.run(
        ["verify", candidate + "/x.ingot", "--against", Command.nano, "--text"] + run.texts + run.options + [
          "--shard", "2/3", "-o", run.shares, "--force",
        ])
      #expect(made.status == 0, "\(made.error)")
    }
    try verifyOther()
    try refused("candidate.x.ingot", "is of another comparison")
    #expect(try run.share("2/3", "--force").status == 0)
    #expect(try run.assemble().status == 0)
    // Models that are elsewhere now, and others.
    let moved = run.folder + "/moved"
    try FileManager.default.createDirectory(atPath: moved, withIntermediateDirectories: true)
    try FileManager.default.moveItem(atPath: run.candidate, toPath: moved + "/x.ingot")
    try refused("x.ingot", "--candidate")
    #expect(try run.assemble("--candidate", moved + "/x.ingot").status == 0)
    let wrong = try run.assemble("--candidate", candidate + "/x.ingot")
    #expect(wrong.status == 1 && wrong.error.contains("this command"), "\(wrong.error)")
    try FileManager.default.moveItem(atPath: moved + "/x.ingot", toPath: run.candidate)
    // A byte of a figure, of the description, and the end.
    for (place, words) in [(40, "make this share again"), (-300, "make this share again"), (-1, "INGOTSHR")] {
      var damaged = before
      damaged[place < 0 ? damaged.count + place : place] ^= 1
      try damaged.write(to: URL(fileURLWithPath: path))
      try refused("verification-3-of-3", words)
    }
    try before.write(to: URL(fileURLWithPath: path))
    #expect(try run.assemble().status == 0)
    run.options = ["--context", "64", "--chunks", "2"]
    let many = try run.verify(["--shard", "3/3", "-o", run.folder + "/many"])
    #expect(many.status == 1 && many.error.contains("a context for each of 3 shares"), "\(many.error)")
  }

  @Test func aShareHasOneWorker() throws {
    let run = try Run()
    defer { Folder.remove(run.folder) }
    try FileManager.default.createDirectory(atPath: run.shares, withIntermediateDirectories: true)
    let path = run.shares + "/verification-1-of-2.ingotpart"
    // As another run has it that is alive: this process.
    let owner = path + ".partial.pass.owner.1"
    try FileManager.default.createSymbolicLink(
      atPath: owner, withDestinationPath: "\(Owner.Identity.current)")
    let refused = try run.share("1/2")
    #expect(refused.status == 1 && refused.error.contains("no other run"), "\(refused.error)")
    #expect(try run.share("2/2").status == 0)
    // One of another machine, which only the user can know to have ended.
    Folder.remove(owner)
    try FileManager.default.createSymbolicLink(atPath: owner, withDestinationPath: "elsewhere boot 17 3")
    let elsewhere = try run.share("1/2")
    #expect(elsewhere.status == 1 && elsewhere.error.contains("--take-over"), "\(elsewhere.error)")
    #expect(try run.share("1/2", "--take-over").status == 0)
    #expect(try run.assemble().status == 0)
  }
}
