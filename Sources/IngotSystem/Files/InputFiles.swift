#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// What a run reads, so that no output of it, under whatever name, takes the place of an input.
///
/// Files are compared by what they are, not by how they are spelled: another path, a hard link, a symbolic link, a name
/// in other letters where the file system does not tell them apart.
public struct InputFiles: Sendable {
  private struct Identity: Hashable {
    var device: UInt64
    var inode: UInt64

    init(_ status: stat) {
      (device, inode) = (UInt64(truncatingIfNeeded: status.st_dev), UInt64(status.st_ino))
    }
  }

  private struct Input {
    var what: String
    var path: String
  }
  private var inputs: [Input] = []

  public init() {}

  /// - Parameters:
  ///   - what: what it is, for messages: `the model`, `a text`.
  ///   - path: of a file, or of a folder whose config, weights and tokenizer are read; nil for none.
  public mutating func add(_ what: String, _ path: String?) {
    if let path { inputs.append(Input(what: what, path: path)) }
  }

  /// Refuses an output whose place is that of an input, of a folder with an input in it, or of a further part of a split
  /// input.
  ///
  /// - Throws: FormatError naming the input.
  public func requireApart(_ output: String) throws(FormatError) {
    let places = InputFiles.identities(output)
    guard !places.isEmpty || Folder.exists(output) else { return }
    let isFolder = Folder.kind(output) == .folder
    let inside =
      isFolder
      ? Set(((try? Folder.names(output)) ?? []).flatMap { InputFiles.identities(output + "/" + $0) }) : []
    for input in inputs {
      let own = InputFiles.identities(input.path)
      if !own.isDisjoint(with: places) {
        throw refusal(output, "\(input.what) itself", input)
      }
      if isFolder, !own.isDisjoint(with: inside) || !InputFiles.above(input.path).isDisjoint(with: places) {
        throw refusal(output, "a folder that holds \(input.what)", input)
      }
      let isBeside = !InputFiles.identities(Folder.parent(of: output)).isDisjoint(
        with: InputFiles.identities(
          Folder.kind(input.path) == .folder ? input.path : Folder.parent(of: input.path)))
      guard isBeside else { continue }
      let name = Folder.name(of: output)
      if Folder.kind(input.path) == .folder {
        if InputFiles.checkpointSuffixes.contains(where: name.lowercased().hasSuffix) {
          throw refusal(output, "a file of \(input.what)", input)
        }
      } else if let set = InputFiles.set(Folder.name(of: input.path)), set == InputFiles.set(name) {
        throw refusal(output, "another part of \(input.what)", input)
      }
    }
  }

  private static let checkpointSuffixes = [
    ".safetensors", ".json", ".jinja", ".model", ".txt", ".tiktoken", ".py",
  ]

  private func refusal(_ output: String, _ found: String, _ input: Input) -> FormatError {
    FormatError(
      path: output, expected: "an output that replaces no input of this run",
      found: "\(found), which is being read"
        + (input.path == output ? "" : " (\(input.path))") + ": choose another name")
  }

  /// What stands at a path: a link and what it leads to count both.
  private static func identities(_ path: String) -> Set<Identity> {
    var found: Set<Identity> = []
    var status = stat()
    if unsafe stat(path, &status) == 0 { found.insert(Identity(status)) }
    if unsafe lstat(path, &status) == 0 { found.insert(Identity(status)) }
    return found
  }

  /// The folders that a path goes through, as it is spelled and with links resolved.
  private static func above(_ path: String) -> Set<Identity> {
    var found: Set<Identity> = []
    for start in [path, Folder.resolved(path)].compactMap({ $0 }) {
      var path = start
      while true {
        let parent = Folder.parent(of: path)
        found.formUnion(identities(parent))
        guard parent != path, parent != "." else { break }
        path = parent
      }
    }
    // A relative path begins in the working folder, which is inside others.
    if !path.hasPrefix("/"), let working = Folder.resolved("."), working != path {
      found.formUnion(above(working))
    }
    return found
  }

  /// The name of a numbered part without its number: NAME-00001-of-00003.gguf.
  private static func set(_ name: String) -> String? {
    guard let match = name.firstMatch(of: /-[0-9]{5,6}(-of-[0-9]{5,6}\.[A-Za-z]+)$/) else { return nil }
    return (name[..<match.range.lowerBound] + match.1).lowercased()
  }
}
