import Foundation
import IngotFormats
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors
import Testing

/// No output takes the place of a file that is read, by whatever name.
@Suite struct InputFileTests {
  private func refuses(_ input: String, _ output: String) throws -> Bool {
    var inputs = InputFiles()
    inputs.add("the model", input)
    return try refusal { try inputs.requireApart(output) } != nil
  }

  @Test func sameFileByOtherNames() throws {
    let scratch = try Scratch()
    let file = try scratch.write("model.gguf", [1, 2, 3])
    try FileManager.default.createDirectory(atPath: scratch("folder"), withIntermediateDirectories: true)
    try FileManager.default.linkItem(atPath: file, toPath: scratch("hard.gguf"))
    let links = [
      ("link.gguf", file), ("links-to-link.gguf", scratch("link.gguf")), ("linked", scratch.path),
    ]
    for (name, target) in links {
      try FileManager.default.createSymbolicLink(atPath: scratch(name), withDestinationPath: target)
    }
    let spellings = [
      file, scratch("./model.gguf"), scratch("folder/../model.gguf"), scratch("hard.gguf"),
      scratch("link.gguf"), scratch("links-to-link.gguf"), scratch("linked/model.gguf"),
      scratch("linked/hard.gguf"),
    ]
    for input in spellings {
      for output in spellings { #expect(try refuses(input, output), "\(input) \(output)") }
    }
    // Names that only look alike.
    try scratch.write("other.gguf", [1, 2, 3])
    for output in ["other.gguf", "new.gguf", "folder/model.gguf", "model.gguf.partial"] {
      #expect(try !refuses(file, scratch(output)), "\(output)")
    }
    // Where letters of both cases are the same name, they are the same file.
    #expect(try refuses(file, scratch("MODEL.gguf")) == Folder.exists(scratch("MODEL.gguf")))
  }

  @Test func foldersThatHoldAnInput() throws {
    let scratch = try Scratch()
    try FileManager.default.createDirectory(atPath: scratch("a/b"), withIntermediateDirectories: true)
    let file = try scratch.write("a/b/model.gguf", [1])
    try FileManager.default.createSymbolicLink(atPath: scratch("to-b"), withDestinationPath: scratch("a/b"))
    try FileManager.default.createDirectory(atPath: scratch("c"), withIntermediateDirectories: true)
    try FileManager.default.linkItem(atPath: file, toPath: scratch("c/config.json"))
    for output in ["a", "a/b", "a/b/", "to-b", "a/../a/b", "c"] {
      #expect(try refuses(file, scratch(output)), "\(output)")
      #expect(try refuses(scratch("to-b/model.gguf"), scratch(output)), "through a link: \(output)")
    }
    #expect(try !refuses(file, scratch("d")))
  }

  @Test func partsAndFilesOfCheckpoints() throws {
    let scratch = try Scratch()
    for number in 1...3 { try scratch.write("m-0000\(number)-of-00003.gguf", [UInt8(number)]) }
    try scratch.write("other-00001-of-00003.gguf", [9])
    #expect(try refuses(scratch("m-00001-of-00003.gguf"), scratch("m-00002-of-00003.gguf")))
    #expect(try !refuses(scratch("m-00001-of-00003.gguf"), scratch("other-00001-of-00003.gguf")))
    let model = try scratch.copy(nano, to: "model")
    for name in ["config.json", "tokenizer.json", "model-00002-of-00004.safetensors"] {
      #expect(try refuses(model, model + "/" + name), "\(name)")
    }
    try scratch.write("model/earlier.gguf", [1])
    #expect(try !refuses(model, model + "/earlier.gguf"))
  }

  /// Through the writers: nothing is lost although replacing is allowed.
  @Test func writersReplaceNoSource() async throws {
    let scratch = try Scratch()
    let folder = try scratch.copy(nano, to: "source")
    let before = try content(folder + "/model-00001-of-00004.safetensors")
    let gguf = try Model.read(folder).quantized("q8_0")
    _ = try await gguf.write(scratch("split.gguf"), as: .gguf, .with(split: 700_000))
    let parts = try scratch.names.filter { $0.hasPrefix("split-") }
    #expect(parts.count > 2)
    let source = try Model.read(scratch(parts[0]))
    // The same parts again, by the name that has them split.
    let error = try await awaitedRefusal {
      _ = try await source.write(scratch("split.gguf"), as: .gguf, .with(force: true, split: 700_000))
    }
    #expect(error?.found.contains("which is being read") == true, "\(error as Any)")
    #expect(try scratch.names.filter { $0.hasPrefix("split-") } == parts)
    // A folder of another format at the source's place, and a GGUF beside a config.json.
    for path in [folder, folder + "/"] {
      let error = try await awaitedRefusal {
        _ = try await Model.read(folder).decoded(to: .bf16).write(path, as: .safeTensors, .with(force: true))
      }
      #expect(error?.found.contains("which is being read") == true, "\(error as Any)")
    }
    #expect(try content(folder + "/model-00001-of-00004.safetensors") == before)
    let beside = try scratch.copy(nano, to: "beside")
    _ = try await Model.read(folder).quantized("q8_0").write(beside + "/x.gguf", as: .gguf, .with())
    let foreign = try await awaitedRefusal {
      _ = try await Model.read(folder).decoded(to: .bf16).write(beside, as: .safeTensors, .with(force: true))
    }
    #expect(foreign != nil)
    #expect(Folder.kind(beside + "/x.gguf") == .file)
  }

  /// A link to a folder is taken away, not what it leads to.
  @Test func removingALinkLeavesItsTarget() throws {
    let scratch = try Scratch()
    let target = try scratch.copy(nano, to: "target")
    try FileManager.default.createSymbolicLink(atPath: scratch("link"), withDestinationPath: target)
    Folder.remove(scratch("link"))
    #expect(!Folder.exists(scratch("link")))
    #expect(Folder.kind(target + "/config.json") == .file)
  }
}
