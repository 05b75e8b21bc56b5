import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

/// A file whose content is there all at once, written by the rules of outputs: it appears complete or not at all, and
/// nothing is replaced unless that was asked for.
public enum WholeFile {
  /// - Parameters:
  ///   - again: whether an earlier run may have got as far as to name the file: the same content there is no error then.
  ///   - takeOver: the user's word that a run on another host, which may be writing it, has ended.
  /// - Throws: FormatError when something else stands at `path` and `force` does not replace it, or writing fails.
  public static func write(
    _ content: [UInt8], to path: String, force: Bool = false, again: Bool = false, takeOver: Bool = false,
    inputs: InputFiles = InputFiles()
  ) throws(FormatError) {
    if again, !force, holds(path, content) {
      // An earlier run came so far, and no further: what says that it is at work goes.
      let owner = try Owner(of: path + ".partial", takeOver: takeOver)
      defer { owner.release() }
      Folder.remove(path + ".partial" + Journal.suffix)
      Folder.remove(path + ".partial")
      return try Folder.synchronize(Folder.parent(of: path))
    }
    var options = WriteOptions()
    (options.force, options.takeOver) = (force, takeOver)
    options.inputs = inputs
    let output = try Output(
      path, parts: [(path, content.count)],
      identity: ["content": .string(hexDigits(XXH3.hash(Bytes(content).span)))], options)
    do throws(FormatError) {
      if !output.isComplete { try output.files[0].write(content, at: 0) }
      try output.commit()
    } catch {
      output.discard()
      throw error
    }
  }

  private static func holds(_ path: String, _ content: [UInt8]) -> Bool {
    guard Folder.kind(path) == .file, let file = try? File(reading: path),
      (try? file.size()) == content.count,
      let bytes = try? Bytes.mapping(path)
    else { return false }
    return bytes.array == content
  }

  /// Refuses a path that `write` would refuse for whatever content, before the work that leads to it.
  public static func check(_ path: String, force: Bool, inputs: InputFiles = InputFiles())
    throws(FormatError)
  {
    try inputs.requireApart(path)
    switch Folder.kind(path) {
    case .nothing: break
    case .file where force || Folder.exists(path + ".partial" + Journal.suffix): break
    case let kind:
      throw FormatError(
        path: path,
        expected: kind == .folder ? "the path of a file" : "a new path",
        found: kind == .folder ? "a folder" : "something there already",
        remedy: kind == .folder ? nil : .replace)
    }
    let folder = Folder.parent(of: path)
    guard Folder.kind(folder) == .folder else {
      throw FormatError(
        path: path, expected: "a folder '\(printable(folder))' to write to",
        found: "none; make it first (mkdir)")
    }
  }
}
