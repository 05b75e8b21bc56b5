import IngotFormats
import IngotQuantization
import IngotSystem
import IngotTensors

/// What the search for channel scales has chosen, layer by layer, in a journal beside an output: a run that goes on does not
/// search again. Scales follow from the choices.
struct ScaleJournal: Sendable {
  private let journal: Journal
  private let shouldStop: @Sendable () -> Bool

  /// Begins a journal beside an unfinished output, or continues that of an earlier run of the same identity.
  ///
  /// - Parameter identity: what decides the choices.
  init(
    beside output: String, identity: JSONObject, takeOver: Bool, shouldStop: @escaping @Sendable () -> Bool
  )
    throws(FormatError)
  {
    self.shouldStop = shouldStop
    journal = try Journal(
      beside: output + ".partial.scales", identity: identity, discard: true, takeOver: takeOver)
  }

  /// Choices of an earlier run, by layer.
  var known: [Int: [ChannelScales.Choice]] {
    var layers: [Int: [ChannelScales.Choice]] = [:]
    for record in journal.records {
      guard let layer = record["layer"]?.int, let entries = record["choices"]?.array else { continue }
      let choices = entries.compactMap { ChannelScales.Choice($0) }
      if choices.count == entries.count { layers[layer] = choices }
    }
    return layers
  }

  /// - Throws: FormatError for what the system says, and when the run is to stop.
  func add(_ layer: Int, _ choices: [ChannelScales.Choice]) throws(FormatError) {
    try journal.add(["layer": JSON(layer), "choices": .array(choices.map(\.json))])
    guard shouldStop() else { return }
    var error = FormatError(path: journal.path, expected: "the run to continue", found: "a request to stop")
    error.cause = .stopped
    throw error
  }

  /// The output is complete.
  func end() { journal.end() }

  /// The run ends with an error. What was chosen is for the next one, unless that would meet the same error.
  func abandoned(_ error: FormatError) -> FormatError {
    guard error.cause != .content || error.isResumable else {
      journal.end()
      return error
    }
    var error = error
    error.isResumable = true
    try? journal.synchronize([])
    journal.leave()
    return error
  }
}

extension ChannelScales.Choice {
  init?(_ json: JSON) {
    guard let place = json["place"]?.string, let alpha = json["alpha"]?.double,
      let beta = json["beta"]?.double, let share = json["errorShare"]?.double
    else { return nil }
    self.init(place: place, alpha: alpha, beta: beta, errorShare: share)
  }

  var json: JSON {
    [
      "place": .string(place), "alpha": JSON(alpha), "beta": JSON(beta), "errorShare": JSON(errorShare),
    ]
  }
}
