import Foundation
import IngotSystem
import IngotTensors
import Testing

/// The same text for `calibrate`, `sensitivity` and `verify`: each finds out what the ones before have seen.
@Suite struct NoveltyTests {
  /// A text of about so many contexts of 32 tokens.
  private static func text(_ folder: String, kilobytes: Int) throws -> String {
    let path = folder + "/mine.txt"
    let whole = try String(contentsOfFile: CalibrateTests.text, encoding: .utf8)
    try String(whole.prefix(1000 * kilobytes)).write(toFile: path, atomically: true, encoding: .utf8)
    return path
  }

  private static func calibrate(_ text: String, _ output: String, _ more: String...) -> [String] {
    ["calibrate", Command.nano, "--text", text, "--context", "32", "-o", output, "--json"] + more
  }

  private static func sensitivity(_ text: String, _ statistics: String, _ output: String) -> [String] {
    [
      "sensitivity", Command.nano, "--text", text, "--context", "32", "--chunks", "1", "--importance",
      statistics,
      "--sample", "1", "--quick", "--format", "ingot", "--exclude", "trellis", "-o", output, "--json",
    ] + plain
  }

  /// Statistics are read, and codes are searched for: what is tested here does not depend on them.
  private static let plain = ["--without", "gptq", "scaling", "refit", "inputs", "residuals"]

  private static func hashes(_ json: JSON?) throws -> Set<String> {
    var found: Set<String> = []
    for text in try #require(json?["texts"]?.array) {
      let digits = Array(try #require(text["contexts"]?.string))
      for start in stride(from: 0, to: digits.count, by: 16) {
        found.insert(String(digits[start..<start + 16]))
      }
    }
    return found
  }

  @Test func theSameTextGivesDisjointContexts() throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    let text = try Self.text(folder, kilobytes: 3)
    let (statistics, sens, plan) = (folder + "/x.calib", folder + "/x.sens", folder + "/plan.json")
    let calibrated = try Command.run(Self.calibrate(text, statistics))
    #expect(calibrated.status == 0, "\(calibrated.error)")
    let used = try #require(try calibrated.json()["contexts"]?.int)
    let left = try #require(try calibrated.json()["contextsLeft"]?.int)
    #expect(left >= 3 && left <= used / 2, "\(used) used, \(left) left")
    let inspected = try Command.run("inspect", statistics)
    #expect(inspected.output.contains("contexts"), "\(inspected.output)")
    let measured = try Command.run(Self.sensitivity(text, statistics, sens))
    #expect(measured.status == 0 && !measured.error.contains("warning"), "\(measured.error)")
    let contexts = try measured.json()["contexts"]
    #expect(contexts?["leftOut"]?.int == used && contexts?["novelty"]?.string == "unseen")
    #expect(contexts?["measured"]?.int == 1 && contexts?["judging"]?.int == 2)
    let json = try JSON.parse(Array(String(contentsOfFile: sens, encoding: .utf8).utf8), path: sens)
    let seen = try Self.hashes(json["importance"]?["contexts"])
    let (choosing, judging) = (
      try Self.hashes(json["contexts"]?["measured"]), try Self.hashes(json["contexts"]?["judged"])
    )
    #expect(seen.count == used && choosing.count == 1 && judging.count == 2)
    #expect(seen.isDisjoint(with: choosing.union(judging)) && choosing.isDisjoint(with: judging))
    // The plan keeps what it was measured on, and 'verify' knows that again.
    let planned = try Command.run(
      "plan", Command.nano, "--sensitivity", sens, "--format", "ingot", "--bits", "4.5", "-o", plan)
    #expect(planned.status == 0 && planned.output.contains("on text like mine.txt"), "\(planned.error)")
    #expect(planned.output.contains("on text of another kind"))
    let artifact = folder + "/out.ingot"
    let made = try Command.run(
      "quantize", Command.nano, "--plan", plan, "--importance", statistics, "-o", artifact)
    #expect(made.status == 0, "\(made.error)")
    let verified = try Command.run(
      "verify", artifact, "--against", Command.nano, "--plan", plan, "--text", text, "--context", "32",
      "--json")
    let words = verified.error
    #expect(
      words.contains("\(used) of \(used + left) contexts (mine.txt): the candidate was calibrated"),
      "\(words)")
    #expect(words.contains("contexts (mine.txt): the plan's prediction was measured"), "\(words)")
    let outcome = try #require(try verified.json()["plan"])
    let uncertainty = try #require(try verified.json()["uncertainty"]?.double)
    let predicted = try #require(outcome["klDivergence"]?["predicted"]?.double)
    let file = try JSON.parse(Array(String(contentsOfFile: plan, encoding: .utf8).utf8), path: plan)
    let said = try #require(file["predicted"]?["klDivergence"])
    let scale = uncertainty / (try #require(said["uncertainty"]?.double))
    #expect(abs(predicted / (try #require(said["mean"]?.double)) / scale - 1) < 1e-3)
    #expect(
      try #require(outcome["klDivergence"]?["otherText"]?["high"]?.double)
        > (try #require(outcome["klDivergence"]?["high"]?.double)))
  }

  @Test func aTextThatWasUsedWholeIsSaid() throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    let text = try Self.text(folder, kilobytes: 2)
    let (statistics, sens) = (folder + "/x.calib", folder + "/x.sens")
    let calibrated = try Command.run(Self.calibrate(text, statistics, "--all-contexts"))
    #expect(try calibrated.json()["contextsLeft"]?.int == 0, "\(calibrated.error)")
    let measured = try Command.run(Self.sensitivity(text, statistics, sens))
    #expect(measured.status == 0, "\(measured.error)")
    #expect(measured.error.contains("x.calib was made of every context of this text"), "\(measured.error)")
    #expect(measured.error.contains("leave contexts out"))
    #expect(try measured.json()["contexts"]?["novelty"]?.string == "seen")
    // Contexts of another length cannot be told apart.
    let other = try Command.run(
      "sensitivity", Command.nano, "--text", text, "--context", "48", "--chunks", "1", "--importance",
      statistics,
      "--sample", "1", "--quick", "--format", "ingot", "--exclude", "trellis", "-o", folder + "/y.sens",
      "--without", "gptq",
      "scaling")
    #expect(
      other.status == 0 && other.error.contains("does not say of which contexts of 48 tokens"),
      "\(other.error)")
  }
}
