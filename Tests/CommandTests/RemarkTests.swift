import Foundation
import IngotSystem
import IngotTensors
import Testing

/// Words on runs that give figures or models of less worth than they seem.
@Suite struct RemarkTests {
  private static let verify = ["--text", CalibrateTests.text, "--context", "32", "--chunks", "1"]

  @Test func verifyingOnTextOfTheCalibration() throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    let statistics = folder + "/x.calib"
    #expect(
      try Command.run(
        "calibrate", Command.nano, "--text", CalibrateTests.text, "-o", statistics, "--context", "64",
        "--chunks", "2"
      ).status == 0)
    let artifact = folder + "/x.ingot"
    let made = try Command.run("quantize", Command.nano, "--importance", statistics, "-o", artifact)
    #expect(made.status == 0 && !made.error.contains("warning"), "\(made.error)")
    let seen = try Command.run(["verify", artifact, "--against", Command.nano] + Self.verify)
    #expect(seen.status == 0 && seen.error.contains("was calibrated on a text of this name"), "\(seen.error)")
    // Contexts of the same length are told apart: the first two were seen, others of the same file were not.
    func verified(_ chunks: String) throws -> Command.Outcome {
      try Command.run(
        "verify", artifact, "--against", Command.nano, "--text", CalibrateTests.text, "--context", "64",
        "--chunks", chunks)
    }
    let some = try verified("3")
    #expect(some.error.contains("2 of 3 contexts (prose.txt)"), "\(some.error)")
    let rest = folder + "/rest.txt"
    let text = try String(contentsOfFile: CalibrateTests.text, encoding: .utf8)
    try String(text.suffix(4000)).write(toFile: rest, atomically: true, encoding: .utf8)
    let renamed = try Command.run(
      "verify", artifact, "--against", Command.nano, "--text", rest, "--context", "64", "--chunks", "2")
    #expect(renamed.status == 0 && !renamed.error.contains("calibrated on"), "\(renamed.error)")
    try FileManager.default.copyItem(atPath: CalibrateTests.text, toPath: folder + "/other-name.txt")
    let copied = try Command.run(
      "verify", artifact, "--against", Command.nano, "--text", folder + "/other-name.txt", "--context", "64",
      "--chunks", "1")
    #expect(copied.error.contains("1 of 1 contexts (other-name.txt)"), "\(copied.error)")
    let fresh = try Command.run(
      "verify", artifact, "--against", Command.nano, "--text", CalibrateTests.code, "--context", "32",
      "--chunks", "1")
    #expect(fresh.status == 0 && !fresh.error.contains("warning"), "\(fresh.error)")
    // Statistics of another model: what differs, in words.
    let family = Command.repository.appending(path: "Tests/Fixtures/families/minimax_m2-plain").path
    let other = try Command.run("quantize", family, "--importance", statistics, "-o", folder + "/y.ingot")
    #expect(other.status == 1, "\(other.output)")
    for word in ["another model, m2-nano", "vocabulary size", "hidden size 256", "ingot calibrate"] {
      #expect(other.error.contains(word), "\(word): \(other.error)")
    }
  }

  @Test func quantizingWhatIsQuantized() throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    let first = folder + "/a.gguf"
    let made = try Command.run("quantize", Command.nano, "-o", first)
    #expect(made.status == 0 && !made.error.contains("quantized already"), "\(made.error)")
    let again = try Command.run("quantize", first, "--recipe", "q8_0", "-o", folder + "/b.gguf")
    #expect(again.status == 0 && again.error.contains("quantized already"), "\(again.error)")
    // Codes that stay as they are add nothing.
    let same = try Command.run("convert", first, "-o", folder + "/c.gguf")
    #expect(same.status == 0 && !same.error.contains("quantized already"), "\(same.error)")
  }

  @Test func againstAnotherModelThanTheSource() throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    let (dense, artifact) = (folder + "/dense", folder + "/x.ingot")
    #expect(try Command.run("convert", Command.nano, "-o", dense, "--decode", "bf16").status == 0)
    #expect(try Command.run("quantize", Command.nano, "-o", artifact).status == 0)
    let right = try Command.run(["verify", artifact, "--against", Command.nano] + Self.verify)
    #expect(right.status == 0 && !right.error.contains("was made from"), "\(right.error)")
    let other = try Command.run(["verify", artifact, "--against", dense] + Self.verify)
    #expect(other.status == 0 && other.error.contains("was made from m2-nano"), "\(other.error)")
  }
}
