import IngotFormats
import IngotSystem
import IngotTensors

/// What a sensitivity measurement keeps beside its unfinished output: what layers showed, and all hidden states; then those of
/// the mixtures that it runs whole.
final class SensitivityJournal {
  private let journal: Journal
  private let path: String
  private let shouldStop: @Sendable () -> Bool
  private var lastWritten = ContinuousClock.now
  private var pending: [JSON] = []
  /// What each layer showed that an earlier run has passed.
  private(set) var layers: [JSON] = []
  /// Layers that the mixtures have passed.
  private(set) var mixedPlanLayers = 0
  /// Whether there are states to resume from.
  private var hasStates: Bool
  /// Whether the result is being written: its file may have its name already, which the next run must know.
  var isWriting = false

  private static let interval: Duration = .seconds(30)

  init(
    _ output: String, identity: JSONObject, discard: Bool, takeOver: Bool,
    shouldStop: @escaping @Sendable () -> Bool
  ) throws(FormatError) {
    path = SensitivityJournal.path(output)
    self.shouldStop = shouldStop
    let path = path
    journal = try Journal(beside: path, identity: identity, discard: discard, takeOver: takeOver) { records in
      [SensitivityJournal.slot, SensitivityJournal.mixedPlanSlot].allSatisfy { key in
        guard let slot = SensitivityJournal.last(key, records) else { return true }
        return Folder.kind(SensitivityJournal.states(path, key, slot)) == .file
      }
    }
    hasStates = journal.isContinued
    mixedPlanLayers = SensitivityJournal.last("mixtures", journal.records) ?? 0
    for record in journal.records { layers += record["layers"]?.array ?? [] }
  }

  private static func path(_ output: String) -> String { output + ".partial.pass" }

  /// Whether an unfinished run has left a journal.
  static func exists(beside output: String) -> Bool { Folder.exists(path(output) + Journal.suffix) }

  /// Members of records that say where states are: of the pass over all tensors, and of the mixtures.
  private static let slot = "slot"
  private static let mixedPlanSlot = "mixture-slot"

  private static func states(_ path: String, _ key: String, _ slot: Int) -> String {
    "\(path).\(key == mixedPlanSlot ? "mixtures" : "states").\(slot)"
  }

  private static func last(_ key: String, _ records: [JSON]) -> Int? {
    records.last { $0[key]?.int != nil }?[key]?.int
  }

  /// The states that go with `layers`; nil when there are none.
  func states(counts: [Int]) throws(FormatError) -> [[Float]]? { try states(SensitivityJournal.slot, counts) }

  /// The states that go with `mixedPlanLayers`; nil when there are none.
  func mixedPlanStates(counts: [Int]) throws(FormatError) -> [[Float]]? {
    try states(SensitivityJournal.mixedPlanSlot, counts)
  }

  private func states(_ key: String, _ counts: [Int]) throws(FormatError) -> [[Float]]? {
    guard let slot = SensitivityJournal.last(key, journal.records) else { return nil }
    return try StatesFile.read(SensitivityJournal.states(path, key, slot), counts: counts)
  }

  /// A layer is passed.
  ///
  /// - Throws: FormatError when the run is to stop, or the states cannot be written.
  func finished(_ layer: JSON, isLast: Bool, _ states: [[Float]]) throws(FormatError) {
    layers.append(layer)
    pending.append(layer)
    try keep(states, SensitivityJournal.slot, layers.count % 2, isDue: isLast) { ["layers": .array(pending)] }
  }

  /// All mixtures have passed so many layers.
  ///
  /// - Throws: as `finished`.
  func finishedMixedPlans(_ layers: Int, _ states: [[Float]]) throws(FormatError) {
    try keep(states, SensitivityJournal.mixedPlanSlot, layers % 2, isDue: false) {
      ["mixtures": JSON(layers)]
    }
  }

  private func keep(
    _ states: [[Float]], _ key: String, _ slot: Int, isDue: Bool, _ record: () -> JSONObject
  ) throws(FormatError) {
    let isStopping = shouldStop()
    guard isStopping || isDue || ContinuousClock.now - lastWritten >= SensitivityJournal.interval else {
      return
    }
    let file = try StatesFile.write(states, to: SensitivityJournal.states(path, key, slot))
    var record = record()
    record[key] = JSON(slot)
    try journal.add(.object(record))
    try journal.synchronize([file])
    hasStates = true
    pending = []
    lastWritten = .now
    guard isStopping else { return }
    var error = FormatError(path: path, expected: "the run to continue", found: "a request to stop")
    error.cause = .stopped
    throw error
  }

  /// The run has its result.
  func end() {
    // First of all: a journal whose states are gone would have the next run begin anew.
    Folder.remove(journal.path)
    for key in [SensitivityJournal.slot, SensitivityJournal.mixedPlanSlot] {
      for slot in 0...1 { Folder.remove(SensitivityJournal.states(path, key, slot)) }
    }
    journal.end()
  }

  /// The run ends with an error: what is kept is for the next one, unless that would meet the same error.
  func left(_ error: FormatError) -> FormatError {
    guard error.cause != .content else {
      end()
      return error
    }
    var error = error
    error.isResumable = !layers.isEmpty || hasStates || isWriting || error.cause == .stopped
    if error.isResumable { journal.leave() } else { end() }
    return error
  }
}
