import Foundation
import IngotFormats
import IngotModels
import IngotSystem
import IngotTensors
import Testing

/// Statistics by shares of the contexts are those that a single run gathers.
@Suite struct CalibrationShareTests {
  private func calibrate(_ output: String, _ more: String...) throws -> Command.Outcome {
    try Command.run(
      [
        "calibrate", Command.nano, "--text", CalibrateTests.text, "-o", output, "--context", "64", "--chunks",
        "7",
      ]
        + more)
  }

  /// The largest difference between F32 values, as a part of the largest magnitude.
  private func distance(_ some: Bytes, _ others: Bytes) -> Float {
    var (largest, most) = (Float(0), Float(0))
    for index in 0..<some.count / 4 {
      let a = Float(bitPattern: some.span.littleEndian(UInt32.self, at: 4 * index))
      let b = Float(bitPattern: others.span.littleEndian(UInt32.self, at: 4 * index))
      largest = max(largest, abs(a - b))
      most = max(most, abs(b))
    }
    return most == 0 ? largest : largest / most
  }

  @Test(arguments: [1, 2, 3, 7]) func sharesAreTheWhole(_ count: Int) throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    #expect(try calibrate(folder + "/one.calib").status == 0)
    for number in (1...count).reversed() {
      let share = try calibrate(
        folder + "/shares", "--shard", "\(number)/\(count)", "--threads", "\(1 + number % 3)")
      #expect(share.status == 0, "\(share.error)")
    }
    let two = folder + "/two.calib"
    let assembled = try Command.run("assemble", folder + "/shares", "-o", two, "--json")
    #expect(assembled.status == 0, "\(assembled.error)")
    #expect(try assembled.json()["contexts"]?.int == 7 && assembled.json()["tokens"]?.int == 448)
    let model = try Model.read(Command.nano)
    let (whole, made) = (
      try CalibrationFile.read(folder + "/one.calib", for: model), try CalibrationFile.read(two, for: model)
    )
    #expect(whole.tokens == made.tokens && whole.contexts == made.contexts && whole.texts == made.texts)
    for layer in 0..<model.blueprint.layerCount {
      let (a, b) = (try whole.layer(layer), try made.layer(layer))
      #expect(Set(a.fields.keys) == Set(b.fields.keys))
      for (field, bytes) in a.fields {
        let other = try #require(b.fields[field])
        switch field {
        case .inputs, .chosen, .weights, .innerPeaks, .outputPeaks, .columnSquares, .downSquares:
          #expect(bytes.array == other.array, "\(field.rawValue) of layer \(layer)")
        default:
          #expect(
            bytes.count == other.count && distance(bytes, other) < 2e-6,
            "\(field.rawValue) of layer \(layer): \(distance(bytes, other))")
        }
      }
    }
  }

  @Test func whatIsNoWholeIsNamed() throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    let shares = folder + "/shares"
    func assemble(_ more: String...) throws -> String {
      let outcome = try Command.run(["assemble", shares, "-o", folder + "/x.calib"] + more)
      #expect(outcome.status == 1 && !Folder.exists(folder + "/x.calib"), "\(outcome.output)")
      return outcome.error
    }
    #expect(try calibrate(shares, "--shard", "1/3").status == 0)
    #expect(try calibrate(shares, "--shard", "3/3").status == 0)
    let missing = try assemble()
    #expect(missing.contains("expected 3 shares, found 2: 2 is missing"), "\(missing)")
    let shown = try Command.run("inspect", shares + "/calibration-1-of-3.calib").output
    #expect(
      shown.contains("1 of 3") && shown.contains("--shard") && shown.contains("ingot assemble"), "\(shown)")
    // A share is no statistics to quantize by.
    let alone = try Command.run(
      "quantize", Command.nano, "--recipe", "int4", "--importance", shares + "/calibration-1-of-3.calib",
      "-o",
      folder + "/x.ingot")
    #expect(alone.status == 1 && alone.error.contains("share 1/3") && alone.error.contains("ingot assemble"))
    // Of other contexts.
    let other = try Command.run(
      "calibrate", Command.nano, "--text", CalibrateTests.text, "-o", shares, "--context", "64", "--chunks",
      "6",
      "--shard", "2/3")
    #expect(other.status == 0, "\(other.error)")
    let mixed = try assemble()
    #expect(mixed.contains("calibration-2-of-3.calib") && mixed.contains("contexts"), "\(mixed)")
    // More shares than contexts, and what is not done by shares.
    let many = try calibrate(folder + "/many", "--shard", "8/8")
    #expect(many.status == 1 && many.error.contains("a context for each of 8 shares"), "\(many.error)")
    let covered = try calibrate(folder + "/covered", "--shard", "1/2", "--until-covered", "9")
    #expect(covered.status == 64 && covered.error.contains("--until-covered"), "\(covered.error)")
  }
}
