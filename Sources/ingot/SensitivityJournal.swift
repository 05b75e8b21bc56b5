import Formats
import Tensors

/// What a run of `ingot sensitivity` keeps beside its unfinished output: what layers showed, and all hidden states.
final class SensitivityJournal {
  private let journal: Journal
  private let path: String
  private let shouldStop: @Sendable () -> Bool
  private var lastWritten = ContinuousClock.now
  private var pending: [JSON] = []
  /// What each layer showed that an earlier run has passed.
  private(set) var layers: [JSON] = []

  private static let interval: Duration = .seconds(30)

  init(
    _ output: String, identity: JSONObject, discard: Bool, takeOver: Bool,
    shouldStop: @escaping @Sendable () -> Bool
  ) throws(FormatError) {
    path = SensitivityJournal.path(output)
    self.shouldStop = shouldStop
    let path = path
    journal = try Journal(beside: path, identity: identity, discard: discard, takeOver: takeOver) { records in
      guard let slot = records.last?["slot"]?.int else { return true }
      return Folder.kind(SensitivityJournal.states(path, slot)) == .file
    }
    for record in journal.records { layers += record["layers"]?.array ?? [] }
  }

  private static func path(_ output: String) -> String { output + ".partial.pass" }

  /// Whether an unfinished run has left a journal.
  static func exists(beside output: String) -> Bool { Folder.exists(path(output) + Journal.suffix) }

  private static func states(_ path: String, _ slot: Int) -> String { "\(path).states.\(slot)" }

  /// The states that go with `layers`; nil when there are none.
  func states(counts: [Int]) throws(FormatError) -> [[Float]]? {
    guard let slot = journal.records.last?["slot"]?.int else { return nil }
    return try StatesFile.read(SensitivityJournal.states(path, slot), counts: counts)
  }

  /// A layer is passed.
  ///
  /// - Throws: FormatError when the run is to stop, or the states cannot be written.
  func finished(_ layer: JSON, isLast: Bool, _ states: [[Float]]) throws(FormatError) {
    layers.append(layer)
    pending.append(layer)
    let isStopping = shouldStop()
    guard isStopping || isLast || ContinuousClock.now - lastWritten >= SensitivityJournal.interval else {
      return
    }
    let slot = layers.count % 2
    let file = try StatesFile.write(states, to: SensitivityJournal.states(path, slot))
    try journal.add(["layers": .array(pending), "slot": JSON(slot)])
    try journal.synchronize([file])
    pending = []
    lastWritten = .now
    guard isStopping else { return }
    var error = FormatError(path: path, expected: "the run to go on", found: "a request to stop")
    error.cause = .stopped
    throw error
  }

  /// The run has its result.
  func end() {
    for slot in 0...1 { Folder.remove(SensitivityJournal.states(path, slot)) }
    journal.end()
  }

  /// The run ends with an error: what is kept is for the next one, unless that would meet the same error.
  func left(_ error: FormatError) -> FormatError {
    guard error.cause != .content else {
      end()
      return error
    }
    var error = error
    error.isResumable = !layers.isEmpty || error.cause == .stopped
    journal.leave()
    return error
  }
}
