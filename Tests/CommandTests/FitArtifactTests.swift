import Foundation
import IngotSystem
import IngotTensors
import Testing

/// From a model to the best artifact for a machine.
@Suite struct FitArtifactTests {
  private func fit(_ words: String..., model: String = Command.nano) throws -> Command.Outcome {
    try Command.run(["fit", model] + words)
  }

  @Test func saysWhatItWouldDo() throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    let plain = try fit("--machine", "1GB", "--dry-run", "-o", folder + "/x")
    #expect(plain.status == 0 && !Folder.exists(folder + "/x"), "\(plain.error)")
    for word in ["1GB", "asked for", "llama.cpp", "gguf", "q8_0 fits", "verify"] {
      #expect(plain.output.contains(word), "\(word): \(plain.output)")
    }
    #expect(plain.output.split(separator: "\n").allSatisfy { $0.count <= 100 }, "\(plain.output)")
    // Eight bits do not fit into what the forward pass leaves of this: encodings are measured, as far as there is time.
    func road(_ hours: String, _ size: String = "1GB", engine: String = "ingot") throws -> (String?, [String])
    {
      let json = try fit(
        "--machine", size, "--engine", engine, "--hours", hours, "--dry-run", "--json"
      ).json()
      return (json["road"]?.string, (json["steps"]?.array ?? []).compactMap { $0["step"]?.string })
    }
    #expect(try road("1000") == ("measured", ["calibrate", "sensitivity", "plan", "quantize", "verify"]))
    // No machine reads and multiplies so fast.
    #expect(try road("0.0000001", engine: "llama.cpp").0 == "recipe")
  }

  @Test func makesAnArtifactAndItsRecord() throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    let place = folder + "/nano-for-us"
    let words = ["--machine", "1GB", "--hours", "1", "-o", place]
    let first = try Command.run(["fit", Command.nano] + words)
    #expect(first.status == 0 && first.output.contains("KL divergence"), "\(first.error)")
    for name in ["model.gguf", "fit.json", "README.md", "report.html", "text"] {
      #expect(Folder.exists(place + "/" + name), "\(name)")
    }
    let path = place + "/fit.json"
    let record = try JSON.parse(try Bytes.mapping(path).array, path: path)
    #expect(record["verification"]?["klDivergence"]?.double ?? 1 < 0.01, "\(record)")
    let choices = record["decision"]?["choices"]?.array ?? []
    #expect(choices.count >= 5 && choices.allSatisfy { $0["reason"]?.string?.isEmpty == false }, "\(choices)")
    let card = try String(contentsOfFile: place + "/README.md", encoding: .utf8)
    #expect(card.contains("q8_0") && card.contains("KL divergence"), "\(card)")
    // A kill while the record was first written leaves no folder that the same command refuses.
    let killed = folder + "/killed"
    try FileManager.default.createDirectory(atPath: killed, withIntermediateDirectories: false)
    try "{".write(toFile: killed + "/fit.json.partial", atomically: true, encoding: .utf8)
    let resumed = try fit("--machine", "1GB", "--hours", "1", "-o", killed)
    #expect(resumed.status == 0 && Folder.exists(killed + "/model.gguf"), "\(resumed.error)")
    // The same command does not begin anew; another one does not take the folder for its own.
    let again = try Command.run(["fit", Command.nano] + words)
    #expect(again.status == 0 && again.error.contains("quantize: done before"), "\(again.error)")
    let other = try fit("--machine", "2GB", "--hours", "1", "-o", place)
    #expect(other.status == 1 && other.error.contains("the same request"), "\(other.error)")
    let files = folder + "/files"
    try FileManager.default.createDirectory(atPath: files, withIntermediateDirectories: false)
    try "mine".write(toFile: files + "/notes.txt", atomically: true, encoding: .utf8)
    let taken = try fit("--machine", "1GB", "--hours", "1", "-o", files)
    #expect(taken.status == 1 && taken.error.contains("other files"), "\(taken.error)")
    #expect(try Folder.names(files) == ["notes.txt"])
  }

  @Test func whatDoesNotFitIsRefusedBeforeTheWork() throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    let small = try fit("--machine", "20MB", "-o", folder + "/x")
    #expect(small.status == 64 && small.error.contains("nothing fits"), "\(small.error)")
    #expect(small.error.contains("20.0 MB") && small.error.contains("iq1_s"), "\(small.error)")
    let ours = try fit("--machine", "20MB", "--engine", "ingot", "-o", folder + "/x")
    #expect(ours.status == 64 && ours.error.contains("nothing fits"), "\(ours.error)")
    let machine = try fit("--machine", "mac-97", "-o", folder + "/x")
    #expect(machine.status == 64 && machine.error.contains("mac-96"), "\(machine.error)")
    #expect(!Folder.exists(folder + "/x"))
  }
}
