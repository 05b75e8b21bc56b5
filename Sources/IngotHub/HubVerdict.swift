import IngotSystem

/// What went wrong with a request that may go well the next time.
struct HubProblem {
  enum Kind {
    /// The connection, or the server for the moment.
    case passing
    /// What is likely to be meant, so that nothing else is to be expected when it comes some times in succession.
    case page, whole, signature, missing, refusal, size, range, redirect
  }

  var kind: Kind
  /// In words, without an address.
  var text: String
  /// Seconds that the server asks to wait for.
  var retryAfter: Int?
  /// Whether no further attempt can help.
  private var isFinal = false

  /// libcurl's codes for certificates that are not trusted or cannot be read.
  private static let certificates = [51, 53, 58, 60, 66, 77, 82, 83, 90, 91]

  init(_ kind: Kind, _ text: String) { (self.kind, self.text) = (kind, text) }

  /// The problem of an answer that is not what was asked for.
  init(_ answer: HTTPAnswer, from address: HubAddress) {
    retryAfter = answer.retryAfter
    let (status, host) = (answer.status, address.host)
    if status == 0 || (200..<300).contains(status) && answer.text.isEmpty && !answer.isHTML {
      (kind, text) = (.passing, "\(host): \(answer.fault ?? "no answer")")
      isFinal = HubProblem.certificates.contains(answer.code)
      return
    }
    switch status {
    case 200 where answer.isHTML:
      (kind, text) = (.page, "a page of HTML from \(host), such as one to log in to a network")
    case 200: (kind, text) = (.whole, "the whole file from \(host), which does not serve ranges")
    case 429:
      let asked = retryAfter.map { ", to be asked again after \($0) s" } ?? ""
      (kind, text) = (.passing, "429 from \(host): too many requests\(asked)")
    case 401, 403:
      (kind, text) = (.signature, "\(status) from \(host) for the address that the Hub has signed")
    case 404, 410: (kind, text) = (.missing, "\(status) from \(host)")
    case 408, 425: (kind, text) = (.passing, "\(status) from \(host)")
    default: (kind, text) = (status < 500 ? .refusal : .passing, "\(status) from \(host)")
    }
  }

  func final(_ path: String) -> FormatError? {
    guard isFinal else { return nil }
    var error = FormatError(
      path: path, expected: "a certificate that the system trusts (SSL_CERT_FILE names others to trust)",
      found: text)
    error.cause = .network
    return error
  }
}

extension HTTPAnswer {
  var isHTML: Bool {
    contentType.lowercased().hasPrefix("text/html")
      || text.drop { $0.isWhitespace }.lowercased().hasPrefix("<!doctype html")
      || text.lowercased().hasPrefix("<html")
  }
}

/// What follows from an answer that did not bring all that was asked for.
enum HubVerdict {
  case redirect(HubAddress)
  case again(HubProblem)
  case final(FormatError)

  init(
    _ answer: HTTPAnswer, to wanted: Range<Int>, of source: HubSource, from address: HubAddress, isOwn: Bool,
    _ client: HubClient
  ) {
    let host = address.host
    switch answer.status {
    case 301, 302, 303, 307, 308:
      self = HubVerdict.redirect(answer, of: source, from: address)
    case 401 where isOwn, 403 where isOwn:
      self = .final(client.refusal(answer, source.path))
    case 404 where isOwn, 410 where isOwn:
      self = .final(
        FormatError(
          path: source.path, expected: "the file of commit \(source.commit.prefix(12)) on \(host)",
          found: "\(answer.status): none there any more"))
    case 206:
      if let total = answer.total, total != source.size {
        self = .again(
          HubProblem(
            .size, "a file of \(total) bytes on \(host), where the Hub states \(source.size): it has changed")
        )
      } else if let range = answer.range, range == wanted {
        self = HubVerdict.again(answer, address, source)
      } else {
        let found = answer.range.map { "bytes \($0.lowerBound)–\($0.upperBound - 1)" } ?? "no Content-Range"
        self = .again(
          HubProblem(.range, "\(found) from \(host) for bytes \(wanted.lowerBound)–\(wanted.upperBound - 1)"))
      }
    case 416:
      self = .again(
        HubProblem(.size, "416 from \(host): the file there has fewer bytes than the \(source.size) stated"))
    default: self = HubVerdict.again(answer, address, source)
    }
  }

  private static func again(_ answer: HTTPAnswer, _ address: HubAddress, _ source: HubSource) -> HubVerdict {
    if answer.status == 206, answer.fault == nil {
      return .again(HubProblem(.passing, "fewer bytes from \(address.host) than it announced"))
    }
    let problem = HubProblem(answer, from: address)
    return problem.final(source.path).map { .final($0) } ?? .again(problem)
  }

  /// Where a redirect leads, if it is for the file that was pinned at the start.
  private static func redirect(_ answer: HTTPAnswer, of source: HubSource, from address: HubAddress)
    -> HubVerdict
  {
    func changed(_ expected: String, _ found: String) -> HubVerdict {
      .final(
        FormatError(path: source.path, expected: expected, found: "\(found): the file has changed on the Hub")
      )
    }
    if let size = answer.linkedSize, size != source.size { return changed("\(source.size) bytes", "\(size)") }
    if let tag = answer.linkedTag?.trimmingPrefix("W/").filter({ $0 != "\"" }), tag.count == 64,
      let sha256 = source.sha256, tag != sha256
    {
      return changed("SHA-256 \(sha256)", printable(tag, limit: 64))
    }
    if let commit = answer.commit, commit != source.commit {
      return changed("commit \(source.commit)", printable(commit, limit: 64))
    }
    guard let target = answer.location.flatMap({ HubAddress($0) }) else {
      return .again(HubProblem(.redirect, "a redirect from \(address.host) to nowhere"))
    }
    guard address.scheme == "http" || target.scheme == "https" else {
      return .final(
        FormatError(
          path: source.path, expected: "a redirect to an address of https",
          found: "one from \(address.host) to http://\(target.host)"))
    }
    return .redirect(target)
  }
}
