import IngotKernels
import IngotSystem
import IngotTensors

/// Where passes through models keep their hidden states between two layers, so that a run that was stopped goes on from
/// there: a file with two places, filled in turn, and a journal beside it that says which one is whole.
public struct PassStore: Sendable {
  /// The file; with the journal beside it.
  public var path: String
  /// What decides the result, beside models and contexts.
  public var identity: JSONObject
  /// The least time from one writing to the next, unless the run is asked to stop.
  public var interval: Duration
  /// The part of the run's time that writing may take, such as 0.05: after a long writing the next one is later. nil for any.
  public var mostOfTime: Double?
  /// Have the store from the beginning, so that another run with it is refused at once.
  public var opensAtOnce = false
  /// Go on without a store when it cannot be written.
  public var isOptional = false
  /// Begin anew when the file is of a run of something else.
  public var discard = false
  public var takeOver = false
  /// Asked after each layer: when true, the run ends there with an error that says so, and can be continued.
  public var shouldStop: (@Sendable () -> Bool)?

  public init(path: String, identity: JSONObject = [:], interval: Duration = .zero) {
    self.path = path
    self.identity = identity
    self.interval = interval
  }
}

extension PassStore {
  /// Removes what an ended run has kept.
  package func remove() {
    // First of all: a journal whose states are gone would have the next run begin anew.
    Folder.remove(path + Journal.suffix)
    Folder.remove(path)
  }
}

/// A store in use by one run.
final class StoredPass {
  private let store: PassStore
  private let identity: JSONObject
  /// Values of the states of all passes.
  private let count: Int
  private var journal: Journal?
  private var file: File?
  private var lastWritten = ContinuousClock.now
  /// How long the last writing took.
  private var lastCost: Duration = .zero
  private var hasFailed = false
  /// What has been found of each layer so far.
  private(set) var layers: [JSON] = []
  /// How many of them the journal has.
  private var recorded = 0
  /// States that were written: each goes to the other place than the one before.
  private var writings = 0

  private var size: Int { 4 * count }

  /// - Parameter states: as they are before the first layer; they become those that the store has.
  init(_ store: PassStore, identity: JSONObject, states: inout [[[Float]]]) throws(FormatError) {
    self.store = store
    var identity = identity
    identity["options"] = .object(store.identity)
    self.identity = identity
    count = states.reduce(0) { $0 + $1.reduce(0) { $0 + $1.count } }
    guard store.opensAtOnce || Folder.exists(store.path + Journal.suffix) else { return }
    try open()
    do throws(FormatError) {
      try restore(&states)
    } catch {
      journal?.leave()
      throw error
    }
  }

  /// What the store has, after a look at whether it is what the journal tells of.
  private func restore(_ states: inout [[[Float]]]) throws(FormatError) {
    guard let journal, let last = journal.records.last, let file else { return }
    // Each record has the layers since the one before.
    let done = journal.records.flatMap { $0["layers"]?.array ?? [] }
    writings = journal.records.count
    var position = (writings - 1) % 2 * size
    var sum = XXH3()
    for pass in states.indices {
      for context in states[pass].indices {
        let bytes = try file.read(4 * states[pass][context].count, at: position)
        sum.update(bytes.span)
        var span = states[pass][context].mutableSpan
        decode(.f32, bytes.span, into: &span)
        position += bytes.count
      }
    }
    guard hexDigits(sum.digest()) == last["states"]?.string else {
      throw FormatError(
        path: store.path, expected: "the states that its journal tells of (remove both to begin anew)",
        found: "others")
    }
    layers = done
    recorded = done.count
  }

  private func open() throws(FormatError) {
    let path = store.path
    let size = 2 * size
    let isKnown = Folder.exists(path + Journal.suffix) || (try? File(reading: path).size()) == size
    guard store.isOptional || isKnown || !Folder.exists(path) else {
      throw FormatError(
        path: path, expected: "a new path for the state, or the state of an interrupted run",
        found: Folder.kind(path) == .folder ? "a folder" : "another file")
    }
    let journal = try Journal(
      beside: path, identity: identity, discard: store.discard, takeOver: store.takeOver
    ) { _ in (try? File(reading: path).size()) == size }
    do throws(FormatError) {
      if journal.isContinued {
        file = try File(continuing: path)
      } else {
        Folder.remove(path)
        let file = try File(creating: path)
        try file.preallocate(size)
        self.file = file
      }
    } catch {
      Folder.remove(path)
      journal.end()
      throw error
    }
    self.journal = journal
  }

  /// A layer is passed.
  ///
  /// - Parameters:
  ///   - found: what is to be remembered of it.
  ///   - states: of all passes, after it.
  /// - Throws: FormatError when the run is to stop, or the states cannot be written.
  func finished(_ found: JSON, _ states: [[[Float]]]) throws(FormatError) {
    layers.append(found)
    let isStopping = store.shouldStop?() ?? false
    let wait = max(store.interval, store.mostOfTime.map { lastCost * (1 / $0) } ?? .zero)
    let start = ContinuousClock.now
    guard isStopping || start - lastWritten >= wait, !hasFailed else { return }
    do throws(FormatError) {
      try write(states)
    } catch {
      guard store.isOptional, !isStopping else { throw left(error) }
      hasFailed = true
      end()
      return
    }
    lastWritten = .now
    lastCost = lastWritten - start
    if isStopping {
      var error = FormatError(path: store.path, expected: "the run to continue", found: "a request to stop")
      error.cause = .stopped
      throw left(error)
    }
  }

  private func write(_ states: [[[Float]]]) throws(FormatError) {
    if journal == nil { try open() }
    var position = writings % 2 * size
    var sum = XXH3()
    for state in states.joined() {
      let bytes = Bytes(count: 4 * state.count) { encode(.f32, state.span, into: &$0) }
      sum.update(bytes.span)
      try file!.write(bytes.span, at: position)
      position += bytes.count
    }
    try journal!.add(
      ["layers": .array(Array(layers[recorded...])), "states": .string(hexDigits(sum.digest()))])
    recorded = layers.count
    writings += 1
    try journal!.synchronize([file!])
  }

  /// The run ends with an error: what the store has is for the next one, unless that would meet the same error.
  ///
  /// - Parameter isPassed: all layers are passed and the error is of what came after: whatever it is, the next run needs only that.
  func left(_ error: FormatError, isPassed: Bool = false) -> FormatError {
    guard let journal else { return error }
    var error = error
    if error.cause == .content && !isPassed {
      end()
    } else {
      error.isResumable = true
      journal.leave()
      self.journal = nil
    }
    return error
  }

  /// The run has its result, and what the store has stays.
  func leave() {
    journal?.leave()
    journal = nil
  }

  /// The run has its result.
  func end() {
    guard let journal else { return }
    store.remove()
    journal.end()
    self.journal = nil
  }
}
