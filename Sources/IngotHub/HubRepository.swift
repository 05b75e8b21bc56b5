import IngotSystem

/// A repository at one commit: its files, with sizes and hashes.
struct HubRepository: Sendable {
  struct Entry: Sendable {
    /// Path in the repository.
    var name: String
    var size: Int
    /// Git's name of the content, and of a large file its SHA-256.
    var blob: String
    var sha256: String?

    /// Its name among the blobs of the cache.
    var tag: String { sha256 ?? blob }
  }

  let client: HubClient
  /// As the Hub spells it.
  let repository: String
  let commit: String
  let entries: [Entry]

  /// `hf://ORGANIZATION/NAME@COMMIT`.
  var path: String { RemoteFiles.scheme + repository + "@" + commit }

  /// Asks the Hub for the commit that a revision is now, and for its files.
  init(_ name: HubName, _ client: HubClient) throws(FormatError) {
    self.client = client
    let path = name.path
    let revision = (name.revision ?? "main").percentEncoded()
    let question = "/api/models/\(name.repository)/revision/\(revision)?blobs=true"
    let answer = try client.ask(question, limit: 64 << 20, about: path) { client.refusal($0, path) }
    let what = "\(client.endpoint.host): description of \(name.repository)"
    func wrong(_ expected: String, _ found: String) -> FormatError {
      var error = FormatError(
        path: path, expected: "\(expected) in the Hub's description of it", found: found)
      error.cause = .network
      return error
    }
    if let other = StandIn.description(answer) {
      throw wrong("JSON", other)
    }
    let json = try JSON.parse(answer.array, path: what)
    guard let commit = json["sha"]?.string, commit.count == 40, commit.allSatisfy(\.isHexDigit) else {
      throw wrong("'sha', a commit", json["sha"].map { $0.kind } ?? "none")
    }
    self.commit = commit.lowercased()
    guard let id = HubName(RemoteFiles.scheme + (json["id"]?.string ?? name.repository))?.repository,
      id.contains("/")
    else { throw wrong("'id', ORGANIZATION/NAME", json["id"].map { $0.kind } ?? "none") }
    repository = id
    guard let siblings = json["siblings"]?.array else {
      throw wrong("'siblings', its files", json["siblings"].map { $0.kind } ?? "none")
    }
    var entries: [Entry] = []
    for file in siblings {
      guard let name = file["rfilename"]?.string else { throw wrong("'rfilename' of each file", file.kind) }
      // Other names could not be files of a snapshot in the cache either.
      guard HubRepository.isPlain(name) else { continue }
      guard let size = file["lfs"]?["size"]?.int ?? file["size"]?.int, size >= 0 else {
        throw wrong("'size' of \(printable(name, limit: 100))", "none")
      }
      let blob = file["blobId"]?.string ?? ""
      let sha256 = file["lfs"]?["sha256"]?.string?.lowercased()
      guard blob.utf8.allSatisfy(HubRepository.isTag),
        sha256.map({ $0.utf8.count == 64 && $0.utf8.allSatisfy(HubRepository.isTag) }) ?? !blob.isEmpty
      else { throw wrong("hashes in hexadecimal of \(printable(name, limit: 100))", "others") }
      entries.append(Entry(name: name, size: size, blob: blob, sha256: sha256))
    }
    self.entries = entries
  }

  private static func isTag(_ byte: UInt8) -> Bool {
    (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
      || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(byte)
  }

  private static func isPlain(_ name: String) -> Bool {
    name.utf8.count <= 1000
      && name.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7F && $0 != "\\" }
      && name.split(separator: "/", omittingEmptySubsequences: false).allSatisfy {
        !["", ".", ".."].contains($0)
      }
  }

  func source(_ entry: Entry) -> HubSource {
    let address =
      "\(client.settings.endpoint)/\(repository)/resolve/\(commit)/"
      + entry.name.percentEncoded(keepingSlashes: true)
    return HubSource(
      path: path + "/" + entry.name, size: entry.size, sha256: entry.sha256, commit: commit,
      address: HubAddress(address)!)
  }

  /// Makes its files available under `path`.
  func mount() -> [HubFile] {
    let blocks = HubBlocks()
    let files = entries.map { HubFile(source($0), blob: $0.blob, client, blocks) }
    RemoteFiles.mount(RemoteFolder(path: path, repository: repository, commit: commit, files: files))
    return files
  }

  /// The file or folder that a user means: its name, or what only one GGUF file has in its name (`Q4_K_M`).
  ///
  /// - Throws: FormatError naming what there is.
  func file(_ wanted: String) throws(FormatError) -> String {
    if entries.contains(where: { $0.name == wanted || $0.name.hasPrefix(wanted + "/") }) { return wanted }
    let names = entries.map(\.name).filter { $0.hasSuffix(".gguf") }
    // Numbered parts are named by the first.
    let whole = names.filter { name in
      guard let match = name.firstMatch(of: /-([0-9]{5})-of-[0-9]{5}\.gguf$/) else { return true }
      return match.1 == "00001"
    }
    let fitting = whole.filter { $0.lowercased().contains(wanted.lowercased()) }
    if fitting.count == 1 { return fitting[0] }
    let listed = (fitting.isEmpty ? entries.map(\.name).filter(HubFile.isWeights) : fitting).prefix(12)
    throw FormatError(
      path: path, expected: "a file '\(printable(wanted, limit: 100))'",
      found: listed.isEmpty
        ? "no files of weights"
        : "\(fitting.isEmpty ? "other files" : "several"): \(listed.map { printable($0) }.joined(separator: ", "))"
    )
  }
}
