import IngotSystem

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// The cache of huggingface_hub: models--ORGANIZATION--NAME/snapshots/COMMIT, and refs that name commits.
public struct HubCache: Sendable {
  /// Where the models' folders are.
  public let folder: String
  /// Where a token is that the user has logged in with: $HF_TOKEN_PATH, else token in $HF_HOME.
  package let tokenFile: String

  /// The cache that the environment names: $HF_HUB_CACHE, else $HUGGINGFACE_HUB_CACHE, else hub in $HF_HOME, else
  /// huggingface/hub in $XDG_CACHE_HOME, else in ~/.cache. Empty variables count as none.
  package init(environment: (String) -> String? = HubCache.variable) {
    func variable(_ name: String) -> String? {
      environment(name).flatMap { $0.isEmpty ? nil : HubCache.expanded($0, environment) }
    }
    let caches = variable("XDG_CACHE_HOME") ?? (variable("HOME") ?? ".") + "/.cache"
    let home = variable("HF_HOME") ?? caches + "/huggingface"
    folder = variable("HF_HUB_CACHE") ?? variable("HUGGINGFACE_HUB_CACHE") ?? home + "/hub"
    tokenFile = variable("HF_TOKEN_PATH") ?? home + "/token"
  }

  package static func variable(_ name: String) -> String? {
    unsafe getenv(name).map { unsafe String(cString: $0) }
  }

  /// `~` at the beginning and `$NAME`, `${NAME}` replaced by what they stand for; unknown names stay.
  private static func expanded(_ text: String, _ environment: (String) -> String?) -> String {
    var text = text
    if text == "~" || text.hasPrefix("~/"), let home = environment("HOME") {
      text = home + text.dropFirst()
    }
    return text.replacing(/\$(?:\{([A-Za-z0-9_]+)\}|([A-Za-z0-9_]+))/) { match in
      environment(String(match.1 ?? match.2!)) ?? String(match.0)
    }
  }

  /// The snapshot that `id` means: `name`, `organization/name`, each perhaps with `@revision`.
  ///
  /// - Returns: nil when `id` is no such name or the model is not in the cache.
  /// - Throws: FormatError for a model that is there without the snapshot.
  package func snapshot(_ id: String) throws(FormatError) -> String? {
    let halves = id.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false)
    let parts = halves[0].split(separator: "/", omittingEmptySubsequences: false)
    guard (1...2).contains(parts.count), parts.allSatisfy({ !$0.isEmpty && !$0.hasPrefix(".") }) else {
      return nil
    }
    let root = folder + "/models--" + parts.joined(separator: "--")
    guard Folder.kind(root) == .folder else { return nil }
    return try HubCache.snapshot(of: root, halves.count > 1 ? String(halves[1]) : nil)
  }

  /// The snapshot of a model's folder in a cache, given by its path; nil for any other folder.
  package static func snapshot(inFolder path: String) throws(FormatError) -> String? {
    guard Folder.name(of: path).hasPrefix("models--"), Folder.kind(path + "/snapshots") == .folder else {
      return nil
    }
    return try snapshot(of: path, nil)
  }

  private static func snapshot(of root: String, _ wanted: String?) throws(FormatError) -> String {
    let snapshots = try Folder.names(root + "/snapshots").filter { !$0.hasPrefix(".") }
    if let wanted, snapshots.contains(wanted) { return root + "/snapshots/" + wanted }
    let name = wanted ?? "main"
    let reference = root + "/refs/" + name
    if !name.split(separator: "/").contains(".."), Folder.kind(reference) == .file {
      let text = String(decoding: try Bytes.mapping(reference).array, as: UTF8.self)
      let commit = text.filter { !$0.isWhitespace }
      guard !commit.isEmpty, commit.allSatisfy(\.isHexDigit), snapshots.contains(commit) else {
        throw FormatError(
          path: reference, expected: "the name of a folder in \(root)/snapshots", found: "'\(commit)'")
      }
      return root + "/snapshots/" + commit
    }
    if let wanted {
      // As Git abbreviates.
      let starts = snapshots.filter { wanted.count >= 7 && $0.hasPrefix(wanted) }
      if starts.count == 1 { return root + "/snapshots/" + starts[0] }
      let refs = (try? Folder.names(root + "/refs")) ?? []
      throw FormatError(
        path: root,
        expected: "revision '\(printable(wanted, limit: 80))', a name in refs or a folder in snapshots",
        found: "refs \(refs.joined(separator: ", ")); snapshots \(snapshots.joined(separator: ", "))")
    }
    guard snapshots.count == 1 else {
      throw FormatError(
        path: root, expected: "refs/main or one snapshot (or give a revision: NAME@REVISION)",
        found: "\(snapshots.count) snapshots")
    }
    return root + "/snapshots/" + snapshots[0]
  }
}
