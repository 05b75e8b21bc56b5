import Foundation
import IngotSystem
import IngotTensors
import Testing

/// An artifact by shares is the one that a single run makes.
@Suite struct ShareTests {
  struct Road: CustomTestStringConvertible, Sendable {
    let output: String
    let options: [String]
    let shares: Int
    let isCalibrated: Bool
    var testDescription: String { "\(output) in \(shares)" }
  }

  static let roads = [
    Road(output: "a.ingot", options: ["--recipe", "int4"], shares: 4, isCalibrated: false),
    Road(output: "b.ingot", options: ["--recipe", "int3"], shares: 3, isCalibrated: true),
    Road(output: "c.gguf", options: ["--recipe", "q3_k_m"], shares: 2, isCalibrated: true),
    Road(output: "d", options: ["--recipe", "mlx-4bit"], shares: 3, isCalibrated: true),
    // More shares than layers, and some with nothing to do.
    Road(output: "e.ingot", options: ["--recipe", "mixed-4-8"], shares: 90, isCalibrated: false),
  ]

  private func bytes(_ path: String) throws -> [String: Data] {
    guard Folder.kind(path) == .folder else { return ["": try Data(contentsOf: URL(fileURLWithPath: path))] }
    var files: [String: Data] = [:]
    for name in try Folder.names(path) {
      files[name] = try Data(contentsOf: URL(fileURLWithPath: path + "/" + name))
    }
    return files
  }

  @Test(arguments: roads) func sharesAreTheWhole(_ road: Road) throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    var options = [Command.nano] + road.options
    if road.isCalibrated {
      let calibration = folder + "/x.calib"
      let made = try Command.run(
        "calibrate", Command.nano, "--text", CalibrateTests.text, "-o", calibration, "--context", "64",
        "--chunks", "4")
      #expect(made.status == 0, "\(made.error)")
      options += ["--importance", calibration]
    }
    let one = folder + "/one-" + road.output
    #expect(try Command.run(["quantize"] + options + ["-o", one]).status == 0)
    // In any order, each with another number of threads.
    for number in (1...road.shares).reversed() {
      let share = try Command.run(
        ["quantize"] + options + [
          "--shard", "\(number)/\(road.shares)", "-o", folder + "/shares", "--threads", "\(1 + number % 3)",
        ])
      #expect(
        share.status == 0 && share.output.contains("share \(number) of \(road.shares)"), "\(share.error)")
    }
    let two = folder + "/two-" + road.output
    let assembled = try Command.run("assemble", folder + "/shares", "-o", two, "--json")
    #expect(assembled.status == 0, "\(assembled.error)")
    #expect(try assembled.json()["bytes"]?.int ?? 0 > 0)
    #expect(try bytes(two) == bytes(one))
  }

  @Test func whatIsNoWholeIsNamed() throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    let shares = folder + "/shares"
    func share(_ number: String, _ more: String...) throws -> Command.Outcome {
      try Command.run(["quantize", Command.nano, "--recipe", "int4", "--shard", number, "-o", shares] + more)
    }
    func assemble(_ more: String...) throws -> String {
      let outcome = try Command.run(["assemble", shares, "-o", folder + "/x.ingot"] + more)
      #expect(outcome.status == 1 && !Folder.exists(folder + "/x.ingot"), "\(outcome.output)")
      return outcome.error
    }
    #expect(try share("1/3").status == 0 && share("3/3").status == 0)
    let missing = try assemble()
    #expect(missing.contains("expected 3 shares, found 2: 2 is missing"), "\(missing)")
    // Made again, it is refused without --force, and the same bytes with it.
    let path = shares + "/share-3-of-3.ingotshare"
    let before = try bytes(path)
    #expect(try share("3/3").status == 1)
    #expect(try share("3/3", "--force").status == 0)
    #expect(try bytes(path) == before)
    // A share of another artifact.
    let foreign = try Command.run(
      "quantize", Command.nano, "--recipe", "int3", "--shard", "2/3", "-o", shares)
    #expect(foreign.status == 0, "\(foreign.error)")
    let other = try assemble()
    #expect(other.contains("share-2-of-3") && other.contains("is of another artifact"), "\(other)")
    #expect(try share("2/3", "--force").status == 0)
    // A byte of a plane, then of the description, then the end.
    for (place, words) in [(1000, "make share 3 again"), (-300, "make this share again"), (-1, "INGOTSHR")] {
      var damaged = try #require(before[""])
      let index = place < 0 ? damaged.count + place : place
      damaged[index] ^= 1
      try damaged.write(to: URL(fileURLWithPath: path))
      let error = try assemble()
      #expect(error.contains("share-3-of-3") && error.contains(words), "\(error)")
    }
    try #require(before[""]).write(to: URL(fileURLWithPath: path))
    // The model is elsewhere now, and another one is not it.
    let absent = try assemble("--model", folder + "/nowhere")
    #expect(absent.contains("nowhere") && absent.contains("--model"), "\(absent)")
    let family = Command.repository.appending(path: "Tests/Fixtures/families/llama-plain").path
    let wrong = try assemble("--model", family)
    #expect(wrong.contains("another artifact"), "\(wrong)")
    // One that is begun and not finished.
    Folder.remove(path)
    try Data().write(to: URL(fileURLWithPath: path + ".partial.journal"))
    let begun = try assemble()
    #expect(begun.contains("3 is missing, of which 3 is begun"), "\(begun)")
    let empty = try Command.run("assemble", folder, "-o", folder + "/y.ingot")
    #expect(empty.status == 1 && empty.error.contains("share-1-of-n"), "\(empty.error)")
  }

  @Test func schedulersNumberShares() throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    func share(_ number: String, _ environment: [String: String], _ more: String...) throws -> Command.Outcome
    {
      try Command.run(
        ["quantize", Command.nano, "--recipe", "int4", "--shard", number, "-o", folder + "/s"] + more,
        environment: environment)
    }
    let slurm = ["SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_MIN": "5", "SLURM_ARRAY_TASK_COUNT": "4"]
    #expect(try share("auto", slurm).output.contains("share 3 of 4"))
    #expect(try share("auto/3", ["JOB_COMPLETION_INDEX": "0"]).output.contains("share 1 of 3"))
    for (number, environment, words) in [
      ("auto", [:], "SLURM_ARRAY_TASK_ID"), ("auto", ["JOB_COMPLETION_INDEX": "0"], "auto/n"),
      ("auto/2", ["JOB_COMPLETION_INDEX": "2"], "none of them"), ("0/3", [:], "from 1 to n"),
      ("4/3", [:], "from 1 to n"), ("3", [:], "from 1 to n"), ("auto/x", [:], "a number"),
    ] as [(String, [String: String], String)] {
      let refused = try share(number, environment)
      #expect(refused.status == 64 && refused.error.contains(words), "\(number): \(refused.error)")
    }
    let texts = try Command.run(
      "quantize", Command.nano, "--recipe", "int4", "--importance", "x.calib", "--sequential",
      CalibrateTests.text, "--shard", "1/2", "-o", folder + "/s")
    #expect(texts.status == 64 || texts.error.contains("by shares"), "\(texts.error)")
    // What a share is, 'inspect' says.
    let known = try Command.run("inspect", folder + "/s/share-3-of-4.ingotshare")
    #expect(
      known.output.contains("a share of an artifact") && known.output.contains("3 of 4"), "\(known.error)")
  }
}
