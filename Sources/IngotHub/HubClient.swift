import IngotSystem
import Synchronization

/// Asks one endpoint of the Hub and the hosts that it redirects to, until the answer is there or nothing more can be tried.
///
/// Every request names the bytes it wants, so whatever ends a transfer (a reset, a stall, a short body), the next one asks for
/// what comes after the last byte. The token goes to the endpoint's host alone; addresses that it redirects to may be
/// signed, and are not shown.
final class HubClient: Sendable {
  let settings: HubSettings
  let endpoint: HubAddress
  private let connections: HTTPConnections
  /// When the endpoint is to be asked again, if it said so.
  private let pause = Mutex<ContinuousClock.Instant?>(nil)

  /// - Throws: FormatError where there is no library for HTTP.
  init(_ settings: HubSettings, agent: String) throws(FormatError) {
    if let problem = HTTPConnections.problem {
      throw FormatError(path: "libcurl", expected: "the library, to read from the Hub", found: problem)
    }
    self.settings = settings
    endpoint = HubAddress(settings.endpoint)!
    connections = HTTPConnections(settings, agent: agent)
  }

  /// Fills `out` with the bytes of a file from `offset` on.
  func read(_ source: HubSource, into out: inout MutableRawSpan, at offset: Int) throws(FormatError) {
    let count = out.byteCount
    var done = 0
    var redirects = 0
    var patience = Patience.forFiles
    while done < count {
      try waitForTurn()
      let address = source.address
      let isOwn = address.isSameHost(as: endpoint)
      let wanted = offset + done..<offset + count
      var rest = out._mutatingExtracting(done..<count)
      let answer = connections.get(
        address, token: isOwn ? settings.token : nil, range: wanted, of: source.size, into: &rest)
      done += answer.received
      if done == count { return }
      if answer.received >= 4096 { patience.progress() }
      switch HubVerdict(answer, to: wanted, of: source, from: address, isOwn: isOwn, self) {
      case .redirect(let target):
        redirects += 1
        let problem = HubProblem(.redirect, "redirects without end")
        if redirects % 8 == 0, try !patience.wait(after: problem) {
          throw failure(source.path, wanted.lowerBound, problem.text, 1)
        }
        source.locate(target)
      case .final(let error): throw error
      case .again(let problem):
        // The endpoint may know a better one.
        source.locate(nil)
        if isOwn, let seconds = problem.retryAfter { ask(after: seconds) }
        guard try patience.wait(after: problem) else {
          throw failure(source.path, wanted.lowerBound, problem.text, patience.failures)
        }
      }
    }
  }

  /// The answer of the Hub's API to a question; nil where it says that there is no such thing.
  ///
  /// - Parameter refusal: the error for an answer that says no.
  func ask(_ path: String, limit: Int, about: String, refusal: (HTTPAnswer) -> FormatError)
    throws(FormatError) -> Bytes
  {
    var address = HubAddress(settings.endpoint + path)!
    var patience = Patience.forQuestions
    var redirects = 0
    while true {
      try waitForTurn()
      var answer: HTTPAnswer?
      let isOwn = address.isSameHost(as: endpoint)
      let bytes = Bytes(overwriting: limit) { (span: inout MutableRawSpan) in
        answer = connections.get(address, token: isOwn ? settings.token : nil, range: nil, of: 0, into: &span)
      }
      guard let answer else { preconditionFailure("no answer") }
      let problem: HubProblem
      switch answer.status {
      case 200 where answer.fault == nil && !answer.isHTML:
        // Of the memory for the longest answer nothing more is needed.
        return Bytes(bytes[0..<answer.received].array)
      case 301, 302, 303, 307,
        308 where redirects < 8 && answer.fault == nil:
        guard let target = answer.location.flatMap({ HubAddress($0) }), target.scheme == endpoint.scheme
        else {
          throw failure(about, nil, "a redirect to nowhere", 1)
        }
        redirects += 1
        address = target
        continue
      case 400..<500 where answer.status != 408 && answer.status != 429 && answer.fault == nil:
        throw refusal(answer)
      default: problem = HubProblem(answer, from: address)
      }
      if let fault = problem.final(about) { throw fault }
      if isOwn, let seconds = problem.retryAfter { ask(after: seconds) }
      guard try patience.wait(after: problem) else {
        throw failure(about, nil, problem.text, patience.failures)
      }
    }
  }

  private func ask(after seconds: Int) {
    let time = ContinuousClock.now + .seconds(min(seconds, Patience.longestAskedFor))
    pause.withLock { $0 = max($0 ?? time, time) }
  }

  /// Waits as long as the endpoint has asked any connection to wait.
  private func waitForTurn() throws(FormatError) {
    try Hub.requireRunning()
    while let time = pause.withLock({ $0 }), time > .now {
      let left = (time - .now).components
      try Hub.sleep(Double(left.seconds) + Double(left.attoseconds) / 1e18)
    }
  }

  /// What is thrown when it has been tried often enough: the same command may get further later.
  private func failure(_ path: String, _ offset: Int?, _ found: String, _ times: Int) -> FormatError {
    var error = FormatError(
      path: path, offset: offset.map { UInt64($0) },
      expected: offset == nil ? "an answer from \(endpoint.host)" : "the bytes from here on",
      found: times > 1 ? "\(found); tried \(times) times" : found)
    error.cause = .network
    return error
  }
}

/// A file of a repository: where it is asked for, and where the endpoint has sent us for it.
final class HubSource: Sendable {
  /// `hf://…`, for messages.
  let path: String
  let size: Int
  let sha256: String?
  let commit: String
  private let own: HubAddress
  private let located = Mutex<HubAddress?>(nil)

  init(path: String, size: Int, sha256: String?, commit: String, address: HubAddress) {
    (self.path, self.size, self.sha256, self.commit, own) = (path, size, sha256, commit, address)
  }

  var address: HubAddress { located.withLock { $0 } ?? own }

  /// Goes on at another address; nil for that of the endpoint.
  func locate(_ address: HubAddress?) { located.withLock { $0 = address } }
}
