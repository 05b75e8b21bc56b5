import IngotFormats
import IngotModels
import IngotSystem
import IngotTensors

/// A kind of file that a command writes, and the suffixes that its name may have.
package struct OutputKind: Sendable {
  /// What the file is: `calibration statistics`.
  let what: String
  /// The usual suffix first.
  let suffixes: [String]
  /// The command that writes it.
  let command: String

  package static let calibration = OutputKind(
    what: "calibration statistics", suffixes: [".calib", ".gguf", ".dat"], command: "'ingot calibrate'")
  package static let sensitivity = OutputKind(
    what: "a sensitivity file", suffixes: [".sens", ".json"], command: "'ingot sensitivity'")
  package static let plan = OutputKind(
    what: "a plan", suffixes: [".json"], command: "'ingot plan'")
  package static let logits = OutputKind(
    what: "logits", suffixes: [".safetensors"], command: "'ingot logits'")
  package static let page = OutputKind(
    what: "a page", suffixes: [".html", ".htm"], command: "'ingot verify' or 'ingot plan'")

  /// Artifacts that are files, and what else is known by its suffix.
  private static let others =
    Format.all.compactMap { format in
      format.traits.suffix.map {
        OutputKind(what: "a model", suffixes: [$0], command: "'ingot quantize' or 'ingot convert'")
      }
    }
    + [calibration, plan, sensitivity, logits, page]

  /// Suffixes of files that are not models.
  static let suffixes = Set([calibration, sensitivity, plan, logits, page].flatMap(\.suffixes))

  /// Refuses a name that says another kind of file, or a folder's, before any work: its readers would take it for that.
  ///
  /// - Parameter member: of the request, that the name was given as.
  /// - Throws: RequestError with both ways out.
  package func requireName(_ path: String, _ member: RequestError.Member = .output) throws(RequestError) {
    let usual = suffixes[0]
    if path.hasSuffix("/") || Folder.kind(path) == .folder {
      var folder = path[...]
      while folder.hasSuffix("/") { folder.removeLast() }
      throw RequestError(
        member,
        "\(printable(path)) is a folder, and \(what) one file: give a file's name in it, \(printable(String(folder)))/NAME\(usual), "
          + "or another name that ends in \(usual)")
    }
    let name = Folder.name(of: path)
    guard !suffixes.contains(where: name.hasSuffix),
      let other = OutputKind.others.first(where: { $0.suffixes.contains(where: name.hasSuffix) }),
      let stated = other.suffixes.first(where: name.hasSuffix)
    else { return }
    let stem = String(path.dropLast(stated.count))
    throw RequestError(
      member,
      "\(printable(path)) ends in \(stated), the suffix of \(other.what): name \(what) \(printable(stem))\(usual), "
        + "or write \(other.what) with \(other.command)")
  }
}
