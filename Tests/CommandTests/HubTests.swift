import Foundation
import IngotFormats
import IngotHub
import IngotModels
import IngotSystem
import Testing

/// Names of models on the Hub, and what the environment says of it.
@Suite struct HubNameTests {
  @Test func names() {
    let cases: [(String, HubName.Parts?)] = [
      ("acme/nano", ("acme/nano", nil, nil)), ("acme/nano@main", ("acme/nano", "main", nil)),
      ("acme/nano@refs/pr/7", ("acme/nano", "refs/pr/7", nil)),
      ("acme/nano:x-Q4.gguf", ("acme/nano", nil, "x-Q4.gguf")),
      ("acme/nano@v1:a/b.gguf", ("acme/nano", "v1", "a/b.gguf")),
      ("hf://gpt2", ("gpt2", nil, nil)), ("gpt2@main", ("gpt2", "main", nil)),
      ("hf://acme/nano/", ("acme/nano", nil, nil)),
      ("hf://acme/nano@refs%2Fpr%2F7/a/b.gguf", ("acme/nano", "refs/pr/7", "a/b.gguf")),
      ("hf://acme/nano:x.gguf", ("acme/nano", nil, "x.gguf")),
      // Paths, and what would lead out of a folder.
      ("gpt2", nil), ("./acme/nano", nil), ("/acme/nano", nil), ("a/b/c", nil), ("../nano", nil),
      ("acme/", nil),
      ("", nil), ("hf://", nil), ("acme/nano:", nil), ("acme/nano@", nil), ("acme/nano:../x", nil),
      ("acme/nano@../../x", nil), ("acme/na no", nil), ("acme/nano:a//b", nil), ("~/acme", nil),
    ]
    for (text, wanted) in cases {
      let name = HubName(text)
      #expect(
        name?.repository == wanted?.0 && name?.revision == wanted?.1 && name?.file == wanted?.2, "\(text)")
    }
  }

  @Test func settings() throws {
    func settings(_ environment: [String: String]) throws(FormatError) -> HubSettings {
      try HubSettings { environment[$0] }
    }
    let usual = try settings(["HOME": "/h"])
    #expect(usual.endpoint == "https://huggingface.co" && usual.token == nil && !usual.isOffline)
    #expect(usual.cache.folder == "/h/.cache/huggingface/hub")
    let other = try settings([
      "HOME": "/h", "HF_ENDPOINT": "https://mirror.example/hf/", "HF_TOKEN": " hf_x\n",
      "HF_HUB_OFFLINE": "yes",
      "HF_HUB_DOWNLOAD_TIMEOUT": "30",
    ])
    #expect(other.endpoint == "https://mirror.example/hf" && other.token == "hf_x" && other.isOffline)
    #expect(other.stallSeconds == 30)
    #expect(throws: FormatError.self) { try settings(["HF_ENDPOINT": "file:///etc/passwd"]) }
    #expect(throws: FormatError.self) { try settings(["HF_ENDPOINT": "https://user:word@host"]) }
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    try Data("hf_file\n".utf8).write(to: URL(fileURLWithPath: folder + "/token"))
    #expect(try settings(["HF_HOME": folder]).token == "hf_file")
    #expect(try settings(["HF_HOME": folder, "HF_TOKEN": "hf_own"]).token == "hf_own")
    #expect(try settings(["HF_TOKEN_PATH": folder + "/token"]).token == "hf_file")
    #expect(try settings(["HF_HOME": folder, "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"]).token == nil)
    let error = #expect(throws: FormatError.self) { try settings(["HF_TOKEN": "hf_secret\u{7}"]) }
    #expect(error?.description.contains("secret") == false)
  }
}

extension HubName {
  typealias Parts = (String, String?, String?)
}

/// The command on models of a server on this machine: scripts/tools test-hub has the rest.
@Suite struct HubTests {
  private func scratch() throws -> String { try Folder.temporary() }

  @Test func aModelOnTheHubIsReadAsOnTheDisk() throws {
    let server = try HubServer("acme/nano=\(Command.nano)")
    let folder = try scratch()
    defer { Folder.remove(folder) }
    let home = folder + "/home"
    let inspected = try server.run(["inspect", "acme/nano", "--json"], home: home)
    #expect(inspected.status == 0, "\(inspected.error)")
    #expect(inspected.output == (try Command.run("inspect", Command.nano, "--json")).output)
    #expect(Folder.kind(home) == .nothing, "nothing is stored")
    // Faults in most answers; the same bytes as from the cache.
    try server.faults([
      "kinds": ["reset", "429", "short", "expired", "wrong-range", "503", "html"], "rate": JSON(0.2),
    ])
    var content: [[UInt8]] = []
    for (number, arguments) in [
      ["hf://acme/nano"], ["acme/nano", "--download"], ["acme/nano", "--offline"],
    ].enumerated() {
      let output = "\(folder)/\(number).ingot"
      let outcome = try server.run(["quantize"] + arguments + ["--recipe", "int4", "-o", output], home: home)
      #expect(outcome.status == 0, "\(outcome.error)")
      content.append(try Bytes.mapping(output).array)
    }
    #expect(content[0] == content[1] && content[1] == content[2])
    // By shares, and assembled with the headers from there.
    for number in ["1/2", "2/2"] {
      let share = try server.run(
        [
          "quantize", "hf://acme/nano", "--recipe", "int4", "--shard", number, "-o", folder + "/shares",
        ], home: folder + "/none")
      #expect(share.status == 0, "\(share.error)")
    }
    let assembled = folder + "/assembled.ingot"
    let whole = try server.run(["assemble", folder + "/shares", "-o", assembled], home: folder + "/none")
    #expect(whole.status == 0, "\(whole.error)")
    #expect(try Bytes.mapping(assembled).array == content[0])
    let source = try #require(try Model.read(folder + "/0.ingot").provenance?["source"])
    #expect(source["name"] == "acme/nano" && source["revision"]?.string?.count == 40)
    #expect(source["files"]?.array?.allSatisfy { $0["sha256"]?.string?.count == 64 } == true)
    let stats = try server.stats()
    #expect(stats["faults"]?.object?.count ?? 0 > 2 && stats["violations"] == [])
  }

  /// A link in the cache whose blob is gone is what is wrong, whether the Hub is asked, cannot be, or does not know the model.
  @Test func brokenCacheIsNamed() throws {
    let server = try HubServer("acme/other=\(Command.nano)")
    let folder = try scratch()
    defer { Folder.remove(folder) }
    let commit = String(repeating: "0123456789", count: 4)
    let model = folder + "/hub/models--acme--nano"
    let snapshot = model + "/snapshots/" + commit
    for path in [snapshot, model + "/refs"] {
      try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }
    try commit.write(toFile: model + "/refs/main", atomically: true, encoding: .utf8)
    for name in try Folder.names(Command.nano) {
      try FileManager.default.copyItem(atPath: Command.nano + "/" + name, toPath: snapshot + "/" + name)
    }
    let shard = snapshot + "/model-00002-of-00004.safetensors"
    Folder.remove(shard)
    try FileManager.default.createSymbolicLink(atPath: shard, withDestinationPath: "../../blobs/gone")
    for arguments in [["--offline"], []] {
      let outcome = try server.run(["inspect", "acme/nano"] + arguments, home: folder)
      #expect(outcome.status == 1, "\(outcome.output)")
      for word in ["model-00002-of-00004", "link", "blobs/gone"] {
        #expect(outcome.error.contains(word), "\(outcome.error)")
      }
      #expect(
        outcome.error.contains("the Hub does not have it either") == arguments.isEmpty, "\(outcome.error)")
    }
  }

  @Test func refusalsNameTheWayOut() throws {
    let token = "hf_ofThisTest"
    let server = try HubServer(
      "acme/nano=\(Command.nano)", "acme/gated=\(Command.nano)", "--gated", "acme/gated", "--token", token)
    let folder = try scratch()
    defer { Folder.remove(folder) }
    let cases: [(arguments: [String], environment: [String: String], words: [String])] = [
      (["acme/none"], [:], ["acme/none", "private"]), (["acme/nano@v9"], [:], ["branch, tag or commit"]),
      (["acme/gated"], [:], ["accept its conditions", "without a token"]),
      (["acme/nano"], ["HF_TOKEN": "hf_wrong"], ["with the token"]),
      (["acme/nano", "--offline"], [:], ["not to be used"]),
      (["acme/nano:x.gguf"], [:], ["x.gguf", "golden.safetensors"]),
    ]
    for (arguments, environment, words) in cases {
      let outcome = try server.run(["inspect"] + arguments, home: folder, environment: environment)
      #expect(outcome.status == 1 && outcome.error.contains("error:"), "\(arguments): \(outcome.error)")
      for word in words { #expect(outcome.error.contains(word), "\(arguments): \(outcome.error)") }
      #expect(!outcome.error.contains("hf_"), "\(outcome.error)")
    }
    let outcome = try server.run(["inspect", "acme/gated"], home: folder, environment: ["HF_TOKEN": token])
    #expect(outcome.status == 0, "\(outcome.error)")
    #expect(try server.stats()["violations"] == [])
  }

  @Test func otherBytesThanTheHubStatesAreRefused() throws {
    let server = try HubServer("acme/nano=\(Command.nano)")
    let folder = try scratch()
    defer { Folder.remove(folder) }
    try server.faults(["kinds": ["corrupt"], "rate": 1])
    let outcome = try server.run(
      ["convert", "acme/nano", "--allow-nonfinite", "-o", folder + "/x.ingot"], home: folder)
    #expect(outcome.status == 1 && outcome.error.contains("SHA-256"), "\(outcome.error)")
    #expect(try Folder.names(folder) == [])
  }
}
