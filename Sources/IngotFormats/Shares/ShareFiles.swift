import IngotModels
import IngotSystem

/// The files of all shares of one piece of work, in a folder, each held against the first.
package struct ShareFiles: Sendable {
  /// What shares of a kind have in common.
  package struct Kind: Sendable {
    /// Whether a file has the name of one.
    package var isNamed: @Sendable (_ name: String) -> Bool
    /// The path of a share, without its folder.
    package var name: @Sendable (Share) -> String
    /// What a folder of them has, in words.
    package var expected: String
    /// What they are shares of, in words.
    package var whole: String

    package init(
      isNamed: @escaping @Sendable (String) -> Bool, name: @escaping @Sendable (Share) -> String,
      expected: String, whole: String
    ) {
      self.isNamed = isNamed
      self.name = name
      self.expected = expected
      self.whole = whole
    }

    /// Shares that are a description behind bytes (`ShareFile`), with names such as `verification-1-of-n`.
    ///
    /// - Parameter command: that makes them.
    package static func parts(_ name: String, command: String, whole: String) -> Kind {
      Kind(
        isNamed: { $0.hasPrefix(name + "-") && $0.hasSuffix(ShareFile.suffix) },
        name: { "\(name)-\($0.index + 1)-of-\($0.count)\(ShareFile.suffix)" },
        expected: "files \(name)-1-of-n\(ShareFile.suffix), as '\(command) --shard i/n -o' writes them",
        whole: whole)
    }

    package func path(_ share: Share, in folder: String) -> String { "\(folder)/\(name(share))" }

    /// Whether there are shares of the kind in a folder.
    package func isIn(_ folder: String) -> Bool {
      ((try? Folder.names(folder)) ?? []).contains(where: isNamed)
    }
  }

  package let folder: String
  private let kind: Kind
  /// Each with what its end says, in the order of the shares.
  package let files: [(path: String, json: JSON)]
  /// What all of them have in common.
  package let facts: JSONObject
  package var count: Int { files.count }

  /// The arguments of the command that made the first share, without those that say where and how fast.
  package var arguments: [String]? {
    files[0].json["extra"]?["arguments"]?.array?.compactMap(\.string)
  }

  /// - Throws: FormatError for a folder without shares, shares that are missing, of several numbers, damaged, twice there, or of
  ///   different work, naming what differs.
  package init(_ folder: String, _ kind: Kind) throws(FormatError) {
    self.folder = folder
    self.kind = kind
    guard Folder.kind(folder) == .folder else {
      throw FormatError(path: folder, expected: "a folder of shares", found: "none")
    }
    let paths = try Folder.names(folder).filter(kind.isNamed).map { folder + "/" + $0 }
    guard !paths.isEmpty else {
      throw FormatError(path: folder, expected: kind.expected, found: "none")
    }
    var found: [Int: (path: String, json: JSON)] = [:]
    var first: (path: String, json: JSON)?
    for path in paths.sorted() {
      let json = try ShareTrailer.read(path)
      guard let index = json["share"]?.int, let count = json["shares"]?.int, json["facts"]?.object != nil,
        Share(index: index, count: count) != nil
      else {
        throw FormatError(path: path, expected: "a share of this version", found: "another description")
      }
      if let first {
        let known = first.json["shares"]?.int ?? 0
        guard known == count else {
          throw FormatError(
            path: path, expected: "one of \(known) shares, as \(Folder.name(of: first.path))",
            found: "one of \(count)")
        }
        try ShareFiles.require(json["facts"]!, first.json["facts"]!, path, first.path, of: kind.whole)
      } else {
        first = (path, json)
      }
      if let other = found[index] {
        throw FormatError(
          path: path, expected: "each share once", found: "share \(index + 1), which \(other.path) is too")
      }
      found[index] = (path, json)
    }
    let count = first!.json["shares"]!.int!
    let missing = (0..<count).filter { found[$0] == nil }
    guard missing.isEmpty else {
      let unfinished = missing.filter { index in
        guard let share = Share(index: index, count: count) else { return false }
        return [".partial", ShareFile.state].contains {
          Folder.exists("\(folder)/\(kind.name(share))\($0)\(Journal.suffix)")
        }
      }
      throw FormatError(
        path: folder, expected: "\(count) shares",
        found: "\(found.count): \(ShareFiles.list(missing.map { $0 + 1 })) missing"
          + (unfinished.isEmpty ? "" : ", of which \(ShareFiles.list(unfinished.map { $0 + 1 })) begun")
          + "; make them with --shard i/\(count)")
    }
    files = (0..<count).map { found[$0]! }
    facts = first!.json["facts"]!.object!
  }

  /// Refuses a file where the folder of shares is to be.
  package static func requireFolder(_ path: String) throws(FormatError) {
    guard Folder.kind(path) != .file else {
      throw FormatError(path: path, expected: "a folder for shares", found: "a file")
    }
  }

  /// Makes the folder of shares where there is none.
  package static func makeFolder(_ path: String) throws(FormatError) {
    try requireFolder(path)
    if Folder.kind(path) == .nothing { try Folder.create(path) }
  }

  /// Some numbers with their verb.
  package static func list(_ numbers: [Int]) -> String {
    let shown = numbers.prefix(12).map(String.init).joined(separator: ", ")
    return numbers.count > 12
      ? "\(shown) and \(numbers.count - 12) more are" : shown + (numbers.count == 1 ? " is" : " are")
  }

  /// Refuses shares of other work than a command's.
  package func require(_ facts: JSONObject) throws(FormatError) {
    try ShareFiles.require(.object(self.facts), .object(facts), folder, "this command", of: kind.whole)
  }

  /// Refuses facts that differ, naming the first that does.
  package static func require(
    _ found: JSON, _ expected: JSON, _ path: String, _ other: String, of whole: String, _ name: String = ""
  ) throws(FormatError) {
    guard found != expected else { return }
    if let a = found.object, let b = expected.object {
      for key in Set(a.keys + b.keys).sorted() where a[key] != b[key] {
        try require(
          a[key] ?? .null, b[key] ?? .null, path, other, of: whole, name.isEmpty ? key : name + "." + key)
      }
    }
    func shown(_ json: JSON) -> String { printable(json.text(), limit: 120) }
    throw FormatError(
      path: path, expected: "\(name) \(shown(expected)), as \(other) has",
      found: "\(shown(found)); it is of another \(whole)")
  }
}
