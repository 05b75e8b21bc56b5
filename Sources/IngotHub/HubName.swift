import IngotSystem

/// A model on the Hub, as users name it: `ORGANIZATION/NAME`, perhaps with `@REVISION`, `:FILE` and `hf://` in front.
///
/// Behind `hf://` a file or folder may follow as in a path, `hf://ORGANIZATION/NAME@REVISION/FILE`; slashes of a revision are
/// %2F there.
public struct HubName: Hashable, Sendable {
  public var repository: String
  public var revision: String?
  /// A file or folder of the repository; nil for all of it.
  public var file: String?

  /// - Returns: nil for what is no such name: paths, names without an organization but behind `hf://` or before `@`.
  public init?(_ text: String) {
    let isAddress = text.hasPrefix(RemoteFiles.scheme)
    var rest = isAddress ? text.dropFirst(RemoteFiles.scheme.count) : text[...]
    if let colon = rest.firstIndex(of: ":") {
      file = String(rest[rest.index(after: colon)...])
      rest = rest[..<colon]
    }
    var parts = rest.split(separator: "/", omittingEmptySubsequences: false)
    if isAddress {
      guard file == nil || parts.count <= 2 else { return nil }
      if parts.last?.isEmpty == true { parts.removeLast() }
      if parts.count > 2 {
        file = parts[2...].joined(separator: "/")
        rest = rest[..<parts[1].endIndex]
      } else if let last = parts.last {
        rest = rest[..<last.endIndex]
      }
    }
    if let at = rest.firstIndex(of: "@") {
      let name = String(rest[rest.index(after: at)...])
      revision = isAddress ? name.replacing("%2F", with: "/").replacing("%2f", with: "/") : name
      rest = rest[..<at]
    }
    guard rest.wholeMatch(of: /[A-Za-z0-9_][A-Za-z0-9._-]*(\/[A-Za-z0-9_][A-Za-z0-9._-]*)?/) != nil,
      isAddress || revision != nil || rest.contains("/"), rest.utf8.count <= 200
    else { return nil }
    repository = String(rest)
    for part in [revision, file].compactMap(\.self) {
      guard !part.isEmpty, part.utf8.count <= 1000,
        part.unicodeScalars.allSatisfy({ $0.value > 0x20 && $0.value != 0x7F }),
        part.split(separator: "/", omittingEmptySubsequences: false).allSatisfy({
          !["", ".", ".."].contains($0)
        })
      else { return nil }
    }
  }

  /// `hf://…`, with the revision as it was given.
  var path: String {
    RemoteFiles.scheme + repository + (revision.map { "@" + $0 } ?? "") + (file.map { "/" + $0 } ?? "")
  }
}
