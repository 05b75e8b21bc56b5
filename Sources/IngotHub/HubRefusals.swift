import IngotSystem

extension HubClient {
  /// The error for an answer of the endpoint that says no to a question about a repository or a file of it.
  ///
  /// - Parameter path: `hf://ORGANIZATION/NAME…`
  func refusal(_ answer: HTTPAnswer, _ path: String) -> FormatError {
    let repository = HubName(path)?.repository ?? path
    let page = "\(settings.endpoint)/\(repository)"
    let token =
      settings.token == nil
      ? "without a token (HF_TOKEN, or 'hf auth login')" : "with the token that HF_TOKEN or its file gives"
    let words = answer.errorMessage.map { ": \(printable($0, limit: 200))" } ?? ""
    switch (answer.errorCode, answer.status) {
    case ("GatedRepo", _):
      return FormatError(
        path: path,
        expected:
          "access to a gated repository: accept its conditions on \(page), and use a token of that account",
        found: "\(answer.status) \(token)\(words)")
    case ("RevisionNotFound", _):
      return FormatError(
        path: path, expected: "a branch, tag or commit of \(repository) (see \(page)/commits)",
        found: "none of this name")
    case ("EntryNotFound", _):
      return FormatError(path: path, expected: "a file of \(repository)", found: "none of this name")
    case ("RepoNotFound", _), (_, 401), (_, 404):
      return FormatError(
        path: path,
        expected: "a repository \(repository) on \(settings.endpoint), public or open to your token",
        found: "\(answer.status) \(token): none of this name, or a private one")
    default:
      return FormatError(
        path: path, expected: "access to \(repository) on \(settings.endpoint)",
        found: "\(answer.status) \(token)\(words)")
    }
  }
}
