import Foundation
import IngotSystem
import IngotTensors
import Testing

/// Logits for other engines to be held against.
@Suite struct LogitsTests {
  /// Shape and bytes of a tensor in a SafeTensors file.
  private func tensor(_ name: String, in file: Bytes) throws -> (shape: [Int], bytes: Bytes) {
    let length = Int(file.span.littleEndian(UInt64.self, at: 0))
    let entry = try #require(try JSON.parse(file[8..<8 + length].array, path: "header")[name])
    let offsets = entry["data_offsets"]!.array!.map { 8 + length + $0.int! }
    return (entry["shape"]!.array!.map { $0.int! }, file[offsets[0]..<offsets[1]])
  }

  private func floats(_ bytes: Bytes) -> [Float] {
    (0..<bytes.count / 4).map { Float(bitPattern: bytes.span.littleEndian(UInt32.self, at: 4 * $0)) }
  }

  @Test func goldenFileOfTheEmbeddedModel() throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    let golden = try Bytes.mapping(Command.nano + "/golden.safetensors")
    let ids = try tensor("ids", in: golden)
    let contexts = (0..<ids.shape[0]).map { context in
      (0..<ids.shape[1]).map {
        ids.bytes.span.littleEndian(Int64.self, at: 8 * (context * ids.shape[1] + $0))
      }
    }
    try Data("\(contexts)".utf8).write(to: URL(fileURLWithPath: folder + "/ids.json"))
    let path = folder + "/x.safetensors"
    let outcome = try Command.run("logits", Command.nano, "--tokens", folder + "/ids.json", "-o", path)
    #expect(outcome.status == 0, "\(outcome.error)")
    #expect(outcome.output.hasSuffix("logits of 256 tokens x 2,048 entries\n"))
    let written = try Bytes(Array(Data(contentsOf: URL(fileURLWithPath: path))))
    #expect(try tensor("ids", in: written).bytes.array == ids.bytes.array)
    let (expected, found) = (try tensor("logits", in: golden), try tensor("logits", in: written))
    #expect(found.shape == expected.shape)
    let worst = zip(floats(found.bytes), floats(expected.bytes)).map { abs($0 - $1) }.max()
    #expect(try #require(worst) < 1e-4)
    #expect(try Folder.names(folder) == ["ids.json", "x.safetensors"])
    // Not twice to one place, unless it is meant.
    let again = try Command.run("logits", Command.nano, "--tokens", folder + "/ids.json", "-o", path)
    #expect(again.status == 1 && again.error.contains("--force"))
    let forced = try Command.run(
      "logits", Command.nano, "--tokens", folder + "/ids.json", "-o", path, "--force", "--json")
    #expect(try forced.json()["shape"] == [4, 64, 2048])
    #expect(try Array(Data(contentsOf: URL(fileURLWithPath: path))) == written.array)
  }

  @Test(arguments: [
    ("{}", "an object of 0 keys"), ("[]", "no tokens"), ("[[]]", "no tokens"),
    ("[1, 2]", "the number 1 among the contexts"), ("[[1, \"a\"]]", "the string \"a\" in context 0"),
    ("[[1, 2.5]]", "the number 2.5 in context 0"),
    ("[[1, 2], [3]]", "2 tokens in context 0, 1 in context 1"), ("[[1, 2048]]", "2048 at position 1"),
    ("[[-1]]", "-1 at position 0"), ("[[1", "expected"),
  ])
  func refusesOtherTokens(_ text: String, _ message: String) throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    try Data(text.utf8).write(to: URL(fileURLWithPath: folder + "/ids.json"))
    let outcome = try Command.run(
      "logits", Command.nano, "--tokens", folder + "/ids.json", "-o", folder + "/x.safetensors")
    #expect(outcome.status == 1)
    #expect(outcome.error.contains(message), "\(outcome.error)")
    #expect(try Folder.names(folder) == ["ids.json"])
  }
}
