import IngotSystem
import IngotTensors
import IngotTokenizer

/// An output that stands under temporary names until it is complete: one file or several, beside their final places,
/// or a folder of files.
///
/// The temporary names are fixed and a journal stands beside them, so two runs on one output refuse each other, and
/// what a stopped run left behind is found and continued. The output gets its names in one step, or, when it has
/// several, in an order that never lets it look finished before it is: the first file last.
struct Output: Sendable {
  /// The name that the user gave.
  let path: String
  private let parts: [(path: String, size: Int)]
  private let isFolder: Bool
  private let force: Bool
  let journal: Journal
  /// The files to be written, in the order of the parts; none when `isComplete`.
  let files: [File]
  /// Whether an earlier run has finished all of it but, perhaps, giving names.
  let isComplete: Bool

  private static let complete: JSON = ["complete": true]
  private static let aside: JSON = ["aside": true]

  /// Begins an output, or continues an unfinished one of the same identity.
  ///
  /// - Parameters:
  ///   - parts: final paths and sizes of the files; names in the folder `path` when `isFolder`.
  ///   - identity: what decides the bytes (`Model.identity`).
  ///   - records: about how many records `journal` will get.
  ///   - grows: whether the sizes are those to begin with only.
  /// - Throws: FormatError when something stands at a final place and is not to be replaced, when there is no room,
  ///   when another run is at work on it, or when an unfinished output was begun with something else.
  init(
    _ path: String, parts: [(path: String, size: Int)], isFolder: Bool = false, identity: JSONObject,
    records: Int = 0, grows: Bool = false, _ options: WriteOptions
  ) throws(FormatError) {
    self.path = path
    self.parts = parts
    self.isFolder = isFolder
    force = options.force
    let unfinished = path + ".partial"
    let finals = isFolder ? [path] : parts.map(\.path)
    let temporaries = isFolder ? [unfinished] : parts.map { $0.path + ".partial" }
    for path in finals + temporaries + [unfinished + Journal.suffix] { try options.inputs.requireApart(path) }
    let size = parts.reduce(0) { $0 + $1.size }
    for part in parts where !isFolder && Folder.kind(part.path) == .folder {
      throw FormatError(path: part.path, expected: "a new path, or a file to be replaced", found: "a folder")
    }
    if !Folder.exists(unfinished + Journal.suffix) {
      if !options.force { try Output.requireNothing(finals) }
      for temporary in temporaries where Folder.exists(temporary) && !options.force {
        throw FormatError(
          path: temporary, expected: "no unfinished output without a journal",
          found: "one", remedy: .discard)
      }
      if !temporaries.contains(where: Folder.exists) { try Output.requireRoom(size, path) }
    }
    let paths = isFolder ? parts.map { unfinished + "/" + $0.path } : temporaries
    let innerFolders = Output.innerFolders(isFolder ? parts.map(\.path) : [])
    journal = try Journal(
      beside: unfinished, identity: identity, discard: options.force, takeOver: options.takeOver,
      reserve: 4096 + 128 * records
    ) { records in
      records.contains(Output.complete)
        || zip(paths, parts).allSatisfy { path, part in
          let size = (try? File(reading: path).size()) ?? -1
          return size == part.size || grows && size > part.size
        }
    }
    for note in journal.records.compactMap({ $0["note"] }) { options.notes?.recall(note) }
    isComplete = journal.records.contains(Output.complete)
    if isComplete {
      files = []
      return
    }
    var files: [File] = []
    do throws(FormatError) {
      if !options.force { try Output.requireNothing(finals) }
      if journal.isContinued {
        for path in paths { files.append(try File(continuing: path)) }
      } else {
        for temporary in temporaries { Folder.remove(temporary) }
        try Output.requireRoom(size, path)
        if isFolder {
          try Folder.create(unfinished)
          for inner in innerFolders { try Folder.create(unfinished + "/" + inner) }
        }
        for (path, part) in zip(paths, parts) {
          let file = try File(creating: path, keepsName: true)
          try file.preallocate(part.size)
          files.append(file)
        }
      }
    } catch {
      if !journal.isContinued {
        for temporary in temporaries { Folder.remove(temporary) }
        journal.end()
      } else {
        journal.leave()
      }
      throw error
    }
    self.files = files
  }

  /// Folders inside an output that is one, by the names of its files.
  private static func innerFolders(_ names: [String]) -> [String] {
    Set(names.filter { $0.contains("/") }.map { Folder.parent(of: $0) }).sorted()
  }

  private static func requireNothing(_ paths: [String]) throws(FormatError) {
    for path in paths where Folder.exists(path) {
      throw FormatError(
        path: path, expected: "a new path", found: "something there already", remedy: .replace)
    }
  }

  static func requireRoom(_ size: Int, _ path: String) throws(FormatError) {
    if let free = Folder.freeBytes(Folder.parent(of: path)), free < size {
      throw FormatError(path: path, expected: "\(size) bytes free on its disk", found: "\(free)")
    }
  }

  private var temporaries: [(temporary: String, path: String)] {
    isFolder ? [(path + ".partial", path)] : parts.map { ($0.path + ".partial", $0.path) }
  }

  /// Makes complete temporary files durable and gives them their names.
  func commit() throws(FormatError) {
    if !isComplete {
      try journal.synchronize(files)
      if isFolder {
        for inner in Output.innerFolders(parts.map(\.path)) {
          try Folder.synchronize(path + ".partial/" + inner)
        }
        try Folder.synchronize(path + ".partial")
      }
      try journal.add(Output.complete)
      try journal.synchronize([])
    }
    // What is to be replaced steps aside where one rename does not replace it all: an older folder, or the first of
    // several files, without which the others are nothing.
    let first = temporaries[0].path
    let old = first + ".replaced"
    var hasOld = journal.records.contains(Output.aside)
    if force, isFolder || parts.count > 1, Folder.exists(first), Folder.exists(temporaries[0].temporary) {
      try journal.add(Output.aside)
      try journal.synchronize([])
      try Folder.rename(first, toNew: old)
      hasOld = true
    }
    for (temporary, path) in temporaries.reversed() where Folder.exists(temporary) {
      if force && !isFolder {
        try Folder.rename(temporary, to: path)
      } else {
        try Folder.rename(temporary, toNew: path)
      }
    }
    if hasOld { Folder.remove(old) }
    journal.end()
  }

  /// The run ends with an error before the output is complete. What is done stays when the same command may get
  /// further; the error says so then.
  func abandoned(_ error: FormatError) -> FormatError {
    guard error.cause != .content || isComplete else {
      discard()
      return error
    }
    if !isComplete { try? journal.synchronize(files) }
    journal.leave()
    var error = error
    error.isResumable = true
    return error
  }

  /// Takes away what is there under temporary names.
  func discard() {
    for (temporary, _) in temporaries { Folder.remove(temporary) }
    journal.end()
  }
}

extension Output {
  /// Refuses to replace a folder that is not a checkpoint: what stands in it would be lost.
  static func requireReplaceable(_ path: String) throws(FormatError) {
    guard Folder.kind(path) != .nothing else { return }
    let names = Folder.kind(path) == .folder ? try Folder.names(path) : []
    // What a checkpoint of its own has no need of would be lost with it.
    let foreign = names.first { name in
      if name == ChatTemplates.folder, Folder.kind(path + "/" + name) == .folder {
        let inner = (try? Folder.names(path + "/" + name)) ?? [""]
        return !inner.allSatisfy { ChatTemplates.isAdditional(name + "/" + $0) }
      }
      return Folder.kind(path + "/" + name) != .file
        || [".gguf", ".ingot", ".calib", ".bin", ".pth"].contains(where: name.hasSuffix)
    }
    guard names.contains("config.json"), foreign == nil else {
      throw FormatError(
        path: path,
        expected: "a folder that is a checkpoint and nothing else, which may be replaced",
        found: Folder.kind(path) != .folder
          ? "a file" : foreign.map { "one with '\(printable($0))' in it" } ?? "one without config.json")
    }
  }
}
