import Foundation
import IngotSystem
import IngotTensors
import Testing

/// `ingot verify` with nothing named but the candidate, or with several of them.
@Suite struct VerifyDefaultsTests {
  /// A folder with a copy of the model, and an artifact made from that.
  private func made(_ recipe: String = "int4", _ name: String = "x.ingot") throws -> (
    folder: String, artifact: String
  ) {
    let folder = try Folder.temporary()
    try FileManager.default.createDirectory(atPath: folder + "/nano", withIntermediateDirectories: true)
    for file in try Folder.names(Command.nano) where Folder.kind(Command.nano + "/" + file) == .file {
      try FileManager.default.copyItem(atPath: Command.nano + "/" + file, toPath: folder + "/nano/" + file)
    }
    let outcome = try Command.run("quantize", folder + "/nano", "--recipe", recipe, "-o", folder + "/" + name)
    #expect(outcome.status == 0, "\(outcome.error)")
    return (folder, folder + "/" + name)
  }

  private static let few = ["--chunks", "1", "--context", "64"]

  @Test func theOriginalAndTextAreFound() throws {
    let (folder, artifact) = try made()
    defer { Folder.remove(folder) }
    let found = try Command.run(["verify", artifact] + Self.few)
    #expect(found.status == 0, "\(found.error)")
    for word in ["original: ", "/nano, which", "text: held-out-agents.txt", "part of ingot"] {
      #expect(found.error.contains(word), "\(found.error)")
    }
    #expect(found.output.contains("verdict: "), "\(found.output)")
    // The figures are those of the same texts by name.
    let texts = ["agents", "code", "languages"].map {
      Command.repository.appending(path: "calibration/text/held-out/\($0).txt").path
    }
    let named = try Command.run(
      ["verify", artifact, "--against", Command.nano, "--json", "--text"] + texts + Self.few)
    let short = try Command.run(["verify", artifact, "--json"] + Self.few)
    #expect(try short.json()["klDivergence"] == named.json()["klDivergence"], "\(short.error)")
  }

  @Test func anOriginalThatIsGoneOrChangedIsRefused() throws {
    let (folder, artifact) = try made()
    defer { Folder.remove(folder) }
    let shard = folder + "/nano/model-00002-of-00004.safetensors"
    var bytes = try Data(contentsOf: URL(fileURLWithPath: shard))
    bytes[bytes.count - 100] ^= 1
    try bytes.write(to: URL(fileURLWithPath: shard))
    let changed = try Command.run(["verify", artifact] + Self.few)
    #expect(changed.status == 1, "\(changed.error)")
    for word in ["model-00002-of-00004.safetensors", "SHA-256", "has changed", "--against ORIGINAL"] {
      #expect(changed.error.contains(word), "\(changed.error)")
    }
    try bytes.dropLast(8).write(to: URL(fileURLWithPath: shard))
    let shorter = try Command.run(["verify", artifact] + Self.few)
    #expect(shorter.status == 1 && shorter.error.contains("bytes instead of"), "\(shorter.error)")
    Folder.remove(folder + "/nano")
    let gone = try Command.run(["verify", artifact] + Self.few)
    #expect(gone.status == 1 && gone.error.contains("'nano'"), "\(gone.error)")
    #expect(gone.error.contains("--against ORIGINAL"), "\(gone.error)")
    // Named, nothing is held against the record.
    #expect(try Command.run(["verify", artifact, "--against", Command.nano] + Self.few).status == 0)
  }

  @Test func severalCandidatesAreCompared() throws {
    let (folder, first) = try made()
    defer { Folder.remove(folder) }
    let second = folder + "/y.gguf"
    #expect(try Command.run("quantize", folder + "/nano", "--recipe", "q8_0", "-o", second).status == 0)
    let table = try Command.run(["verify", first, second] + Self.few)
    #expect(table.status == 0, "\(table.error)")
    let lines = table.output.split(separator: "\n").suffix(3)
    #expect(lines.first!.hasPrefix("candidate") && lines.allSatisfy { $0.count <= 100 }, "\(lines)")
    #expect(lines.last!.contains("y.gguf"), "\(lines)")
    let both = try Command.run(["verify", first, second, "--json"] + Self.few)
    let alone = try Command.run(["verify", second, "--json"] + Self.few)
    let reports = try #require(both.json()["candidates"]?.array)
    #expect(reports.map { $0["candidate"]?.string } == [first, second])
    #expect(try reports[1]["report"]?["klDivergence"] == alone.json()["klDivergence"])
    #expect(["near-lossless", "small"].contains(reports[1]["verdict"]?.string))
    // A figure outside names its candidate; states of the comparison are gone.
    let outside = try Command.run(["verify", first, second, "--max-kld", "0.005"] + Self.few)
    #expect(
      outside.status == 2 && outside.error.contains("outside tolerance: \(first): mean KL"),
      "\(outside.error)")
    #expect(try Folder.names(folder).filter { $0.contains("verify-") } == [])
  }

  @Test func whatSeveralCannotHaveIsRefused() throws {
    for arguments in [
      ["a", "a"], ["a", "b", "--plan", "p.json"], ["a", "b", "--html", "p.html"], ["a", "--generate", "2"],
      ["a", "--conversations"],
    ] {
      #expect(try Command.run(["verify"] + arguments).status == 64, "\(arguments)")
    }
  }
}
