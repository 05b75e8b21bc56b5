import IngotFormats
import IngotInference
import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

/// What `verify` found of shares of the contexts, in a folder: one file a share.
///
/// A share has the contexts that follow those of the share before it. It keeps what its predictions scored, and sums for each context, so
/// the report of all shares has the figures of one run, bit for bit: standard errors, percentiles and worst predictions are of all
/// contexts together. A share has the same bytes whatever it is made with; time and threads of the report are those of putting it together.
public struct VerificationShares: Sendable {
  private let files: ShareFiles

  static let kind = ShareFiles.Kind.parts(
    "verification", command: "ingot verify", whole: "comparison")

  /// Whether there are shares of a comparison in a folder.
  public static func recognizes(_ folder: String) -> Bool { kind.isIn(folder) }

  public var folder: String { files.folder }
  public var count: Int { files.count }
  package var arguments: [String]? { files.arguments }

  /// - Throws: FormatError for shares that are missing, damaged, twice there or of different comparisons, naming what differs.
  public init(_ folder: String) throws(FormatError) { files = try ShareFiles(folder, Self.kind) }

  /// Refuses shares of another comparison.
  func require(_ facts: JSONObject) throws(FormatError) { try files.require(facts) }

  /// What was found of all contexts, by shares.
  ///
  /// - Throws: FormatError for a share that is damaged or not of these contexts.
  func parts(_ contexts: [Context]) throws(FormatError) -> [ComparedContexts] {
    var parts: [ComparedContexts] = []
    for (index, (path, json)) in files.files.enumerated() {
      let range = VerifyRequest.range(of: Share(index: index, count: count)!, contexts.count)
      guard let part = ComparedContexts(try ShareFile.bytes(path, json), contexts: contexts),
        part.first == range.lowerBound, part.count == range.count
      else {
        throw FormatError(
          path: path, expected: "figures of contexts \(range.lowerBound) to \(range.upperBound - 1)",
          found: "others; make this share again")
      }
      parts.append(part)
    }
    return parts
  }
}

/// A share of a comparison that was made.
public struct VerifyShareResult: Sendable {
  public var output: String
  public var share: Share
  public var contexts: Int
  /// Predictions scored.
  public var tokens: Int
  public var seconds: Double

  /// The result under the names that programs read.
  public var json: JSON {
    [
      "output": .string(output), "share": JSON(share.index + 1), "shares": JSON(share.count),
      "contexts": JSON(contexts), "tokens": JSON(tokens), "seconds": JSON(seconds),
    ]
  }
}

extension VerifyRequest {
  /// The contexts of a share, by their numbers.
  static func range(of share: Share, _ contexts: Int) -> Range<Int> {
    contexts * share.index / share.count..<contexts * (share.index + 1) / share.count
  }

  /// Compares the models on a share of the contexts.
  ///
  /// Tolerances, plan and model card are for all contexts: `assemble` takes care of them.
  ///
  /// - Parameters:
  ///   - folder: gets the share's file; made where there is none.
  ///   - arguments: the command that makes the share, for whoever assembles.
  ///   - force: replace the share that is there, and discard an unfinished one.
  ///   - takeOver: continue an unfinished share of a run on another host, which must have ended.
  /// - Throws: FormatError for what is wrong with files, a resumable one when the run was stopped.
  public func run(
    _ share: Share, in folder: String, arguments: [String] = [], force: Bool = false, takeOver: Bool = false,
    _ control: RunControl = RunControl()
  ) async throws -> VerifyShareResult {
    let start = ContinuousClock.now
    let pair = try prepare(control)
    guard pair.contexts.count >= share.count else {
      throw FormatError(
        path: texts.paths.first ?? "", expected: "a context for each of \(share.count) shares",
        found: "\(pair.contexts.count) contexts; use fewer shares or more text")
    }
    let range = Self.range(of: share, pair.contexts.count)
    try ShareFiles.requireFolder(folder)
    var inputs = inputs
    inputs.add(pair.original, "the original")
    inputs.add(pair.candidate, "the candidate")
    let path = VerificationShares.kind.path(share, in: folder)
    for end in ["", ShareFile.state] { try inputs.requireApart(path + end) }
    let facts = try sharedFacts(pair)
    try ShareFiles.makeFolder(folder)
    if !force, let made = try finished(path, share, facts, pair, takeOver) { return made }
    try WholeFile.check(path, force: force, inputs: inputs)
    for model in [pair.original, pair.candidate] { try await model.requireWholeFiles(control) }
    try requireUnchanged(control)
    var options = pair.options
    var identity = facts
    identity["share"] = .string(share.description)
    var store = PassStore(path: path + ShareFile.state, identity: identity)
    (store.opensAtOnce, store.mostOfTime) = (true, 0.05)
    (store.discard, store.takeOver, store.shouldStop) = (force, takeOver, control.shouldStop)
    options.store = store
    var result: VerifyShareResult?
    try await compare(pair.candidate, against: pair.original, pair.contexts, range, options) {
      compared throws(FormatError) in
      // The store says that no other run is at work on this share; what one began to write is of no use.
      try WholeFile.write(
        ShareFile.content(
          share, compared.bytes, facts: facts,
          extra: ["kind": "verification", "arguments": .array(arguments.map { .string($0) })]), to: path,
        force: true, takeOver: takeOver, inputs: inputs)
      result = VerifyShareResult(path, share, compared, seconds: (ContinuousClock.now - start).seconds)
    }
    return result!
  }

  /// The share that an earlier run has made, when it ended before it forgot how; nil for none.
  private func finished(
    _ path: String, _ share: Share, _ facts: JSONObject, _ pair: Pair, _ takeOver: Bool
  ) throws(FormatError) -> VerifyShareResult? {
    let state = path + ShareFile.state
    guard Folder.exists(state + Journal.suffix), Folder.kind(path) == .file,
      let json = try? ShareFile.description(path), json["facts"] == .object(facts),
      let bytes = try? ShareFile.bytes(path, json),
      let compared = ComparedContexts(bytes, contexts: pair.contexts)
    else { return nil }
    let owner = try Owner(of: state, takeOver: takeOver)
    defer { owner.release() }
    // What says that the file is being written goes too.
    try WholeFile.write(Bytes.mapping(path).array, to: path, again: true, takeOver: takeOver)
    Folder.remove(state + Journal.suffix)
    Folder.remove(state)
    return VerifyShareResult(path, share, compared, seconds: 0)
  }

  /// Puts the report together out of the shares in a folder, as `run` makes it in one.
  ///
  /// Models and texts must be there, as they were for the shares; no weights are read.
  ///
  /// - Throws: FormatError for shares that are missing, damaged or of another comparison, naming what differs.
  public func assemble(
    _ shares: VerificationShares, _ control: RunControl = RunControl(),
    deliver: (VerifyResult) throws(FormatError) -> Void = { _ in }
  ) throws -> VerifyResult {
    let start = ContinuousClock.now
    let pair = try prepare(control)
    try shares.require(try sharedFacts(pair))
    guard
      var report = try assembleVerification(
        shares.parts(pair.contexts), pair.candidate, against: pair.original, pair.contexts, pair.options)
    else {
      throw FormatError(
        path: shares.folder, expected: "shares of all contexts of these models",
        found: "others; make them again")
    }
    report.seconds = (ContinuousClock.now - start).seconds
    let result = try result(report, pair, workers: control.workers, shares: shares.count)
    try deliver(result)
    return result
  }

  /// What decides the figures, wherever shares are made: of files names, sizes and some of their bytes.
  private func sharedFacts(_ pair: Pair) throws(FormatError) -> JSONObject {
    [
      "tool": .string(Tool.name), "candidate": try pair.candidate.weightFacts(),
      "original": try pair.original.weightFacts(),
      "contexts": JSON(pair.contexts.count), "tokens of the contexts": contextFacts(pair.contexts),
      "fast": .bool(isFast), "worst": JSON(worst),
    ]
  }
}

extension VerifyShareResult {
  fileprivate init(_ path: String, _ share: Share, _ compared: ComparedContexts, seconds: Double) {
    self.init(
      output: path, share: share, contexts: compared.count, tokens: compared.predictions, seconds: seconds)
  }
}
