import Foundation
import IngotFormats
import IngotModels
import IngotSystem
import IngotTensors
import Testing

/// What users name and find in their folders: shards without an index, models in caches, and what a download left.
@Suite struct CheckpointLocationTests {
  /// MLX writes null where there is no metadata.
  @Test func metadataThatIsNull() throws {
    let scratch = try Scratch()
    for (word, isRead) in [("null", true), ("nul ", false), ("false", false)] {
      let header = "{\"__metadata__\":\(word),\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}"
      let length = (0..<8).map { UInt8(truncatingIfNeeded: header.utf8.count >> (8 * $0)) }
      let path = try scratch.write("x.safetensors", length + Array(header.utf8) + [0, 0, 0, 0])
      let error = try refusal { _ = try SafeTensorsHeader(path: path) }
      #expect((error == nil) == isRead, "\(word)")
    }
  }

  private static let commit = "0123456789abcdef0123456789abcdef01234567"

  /// A cache of huggingface_hub with the embedded model as acme/nano.
  private func cache(_ scratch: Scratch) throws -> String {
    let root = scratch("hub/models--acme--nano")
    for folder in ["blobs", "refs/pr", "snapshots/\(Self.commit)"] {
      try FileManager.default.createDirectory(atPath: root + "/" + folder, withIntermediateDirectories: true)
    }
    for name in try Folder.names(nano) where Folder.kind(nano + "/" + name) == .file {
      try FileManager.default.copyItem(atPath: nano + "/" + name, toPath: root + "/blobs/" + name)
      try FileManager.default.createSymbolicLink(
        atPath: root + "/snapshots/\(Self.commit)/\(name)", withDestinationPath: "../../blobs/\(name)")
    }
    try scratch.write("hub/models--acme--nano/refs/main", Array((Self.commit + "\n").utf8))
    try scratch.write("hub/models--acme--nano/refs/pr/7", Array(Self.commit.utf8))
    return root
  }

  @Test func cacheByEnvironment() {
    let cases: [([String: String], String)] = [
      (["HOME": "/h"], "/h/.cache/huggingface/hub"),
      (["HOME": "/h", "XDG_CACHE_HOME": "/x"], "/x/huggingface/hub"),
      (["HOME": "/h", "XDG_CACHE_HOME": "/x", "HF_HOME": "/f"], "/f/hub"),
      (["HOME": "/h", "HF_HOME": "/f", "HUGGINGFACE_HUB_CACHE": "/old"], "/old"),
      (["HOME": "/h", "HF_HUB_CACHE": "/new", "HUGGINGFACE_HUB_CACHE": "/old", "HF_HOME": "/f"], "/new"),
      (["HOME": "/h", "HF_HUB_CACHE": ""], "/h/.cache/huggingface/hub"),
      (["HOME": "/h", "HF_HOME": "~/models"], "/h/models/hub"),
      (["HOME": "/h", "HF_HUB_CACHE": "$DISK/${NAME}/hub", "DISK": "/d", "NAME": "n"], "/d/n/hub"),
    ]
    for (environment, folder) in cases { #expect(HubCache { environment[$0] }.folder == folder) }
  }

  @Test func revisions() throws {
    let scratch = try Scratch()
    let root = try cache(scratch)
    let hub = HubCache { ["HF_HUB_CACHE": scratch("hub")][$0] }
    let snapshot = root + "/snapshots/" + Self.commit
    for id in ["", "@main", "@\(Self.commit)", "@\(Self.commit.prefix(8))", "@pr/7"] {
      #expect(try hub.snapshot("acme/nano" + id) == snapshot, "\(id)")
    }
    #expect(try hub.snapshot("acme/other") == nil)
    #expect(try hub.snapshot("acme/nano/x") == nil)
    let error = try refusal { _ = try hub.snapshot("acme/nano@v2") }
    #expect(error?.expected.contains("revision 'v2'") == true && error?.found.contains("main") == true)
    // Not out of refs.
    #expect(try refusal { _ = try hub.snapshot("acme/nano@../../models--acme--nano/refs/main") } != nil)
    // The folder of the model in the cache is the model.
    #expect(try Model.read(root).weightFiles.count == 4)
    #expect(try !Inventory(root).entries.isEmpty)
  }

  @Test func danglingLinkSaysWhereItLeads() throws {
    let scratch = try Scratch()
    let root = try cache(scratch)
    let shard = "model-00002-of-00004.safetensors"
    Folder.remove(root + "/blobs/" + shard)
    let error = try refusal { _ = try Model.read(root) }
    #expect(error?.found.contains("symbolic link to ../../blobs/\(shard)") == true, "\(error as Any)")
  }

  @Test func shardsWithoutAnIndex() throws {
    let scratch = try Scratch()
    let folder = try scratch.copy(nano, to: "model")
    Folder.remove(folder + "/model.safetensors.index.json")
    let model = try Model.read(folder)
    #expect(model.tensors.count == (try Model.read(nano)).tensors.count)
    // Files of other names are none of the set's.
    try scratch.write("model/adapter.safetensors", [0])
    #expect(try Model.read(folder).weightFiles.count == 4)
    try FileManager.default.moveItem(
      atPath: folder + "/model-00003-of-00004.safetensors", toPath: scratch("away"))
    let error = try refusal { _ = try Model.read(folder) }
    #expect(error?.path.hasSuffix("model-00003-of-00004.safetensors") == true, "\(error as Any)")
  }

  static let standIns: [(content: String, word: String)] = [
    ("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n", "git lfs pull"),
    ("<!DOCTYPE html>\n<html><head><title>Log in</title></head></html>", "HTML"),
    ("\n  <html lang=\"en\">", "HTML"),
    ("<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>", "XML"),
    ("Access to model acme/nano is restricted. You must be authenticated.", "Access to model"),
    ("Entry not found", "Entry not found"),
    (String(repeating: "\0", count: 600), "zeros"),
    ("PK\u{3}\u{4}archive/data.pkl", "ZIP"),
  ]

  @Test(arguments: standIns.indices) func standInForAShard(_ index: Int) throws {
    let (text, word) = Self.standIns[index]
    let scratch = try Scratch()
    let folder = try scratch.copy(nano, to: "model")
    try scratch.write("model/model-00002-of-00004.safetensors", Array(text.utf8))
    let error = try refusal { _ = try Model.read(folder) }
    #expect(error?.found.contains(word) == true, "\(error as Any)")
    #expect(error?.path.hasSuffix("model-00002-of-00004.safetensors") == true)
  }

  @Test(arguments: ["config.json", "tokenizer.json", "model.safetensors.index.json"])
  func standInForJSON(_ name: String) throws {
    for (text, word) in Self.standIns.prefix(2) {
      let scratch = try Scratch()
      let folder = try scratch.copy(nano, to: "model")
      try scratch.write("model/" + name, Array(text.utf8))
      let error = try refusal {
        _ = try Model.read(folder).quantized("q8_0").plannedBytes(as: .gguf, .with())
      }
      #expect(error?.found.contains(word) == true, "\(name): \(error as Any)")
    }
  }

  @Test func folderOfGGUF() throws {
    let scratch = try Scratch()
    for number in 1...2 { try scratch.write("m-0000\(number)-of-00002.gguf", Array("GGUF".utf8)) }
    let error = try refusal { _ = try Model.read(scratch.path) }
    #expect(error?.found.contains("m-00001-of-00002.gguf") == true, "\(error as Any)")
  }

  /// By what it holds, whatever its name.
  @Test func formatsByContent() async throws {
    let scratch = try Scratch()
    let model = try Model.read(nano)
    _ = try await model.quantized("q8_0").write(scratch("a.gguf"), as: .gguf, .with())
    _ = try await model.quantized("int4").write(scratch("a.ingot"), as: .ingot, .with())
    for suffix in ["gguf", "ingot"] {
      try FileManager.default.moveItem(atPath: scratch("a." + suffix), toPath: scratch("blob-" + suffix))
      #expect(try Model.read(scratch("blob-" + suffix)).format == suffix)
    }
  }
}
