import IngotSystem

/// The repository of the Hugging Face Hub and the commit that files are of, by the path that they have there or in the cache.
struct HubOrigin: Equatable {
  /// `ORGANIZATION/NAME`, or a name alone.
  var repository: String
  var commit: String

  /// - Returns: nil for other paths.
  init?(_ path: String) {
    if let (folder, _) = RemoteFiles.folder(of: path) {
      (repository, commit) = (folder.repository, folder.commit)
      return
    }
    // …/models--ORGANIZATION--NAME/snapshots/COMMIT, where files are links to elsewhere.
    guard let known = HubOrigin.inCache(path) ?? Folder.resolved(path).flatMap({ HubOrigin.inCache($0) })
    else { return nil }
    (repository, commit) = known
  }

  private static func inCache(_ path: String) -> (String, String)? {
    let parts = path.split(separator: "/")
    guard let index = parts.lastIndex(of: "snapshots"), index > 0, index + 1 < parts.count,
      parts[index - 1].hasPrefix("models--")
    else { return nil }
    let name = parts[index - 1].dropFirst("models--".count)
    guard let cut = name.firstRange(of: "--") else { return (String(name), String(parts[index + 1])) }
    return (name[..<cut.lowerBound] + "/" + name[cut.upperBound...], String(parts[index + 1]))
  }
}
