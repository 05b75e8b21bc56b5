import IngotModels
import IngotTensors

/// The taps of a layer in the order in which a lane comes by them (`Blueprint.Layer.mixerInput` and so on).
enum LayerPlace: Int, CaseIterable, Comparable, Sendable {
  case mixerInput, mixerOutput, feedForwardInput, feedForwardInner

  static func < (a: LayerPlace, b: LayerPlace) -> Bool { a.rawValue < b.rawValue }
}

/// Values of some tokens, as a lane comes by them. They are at hand only while they are read.
struct Activation {
  enum Kind {
    /// What goes into the linear layers that read a tap. At the feed-forward's taps the rows are those of one expert.
    case input(LayerPlace)
    /// What goes into the linear layers that read a tap within a block, by the tap's name.
    case inner(String)
    /// What a linear layer of the feed-forward gives.
    case output(TensorKind)
    /// The decoded weights of a linear layer of the feed-forward, (outputs, inputs), once for each expert.
    case weights(TensorKind)
  }

  var kind: Kind
  /// Which of the lanes that go together.
  var lane: Int
  /// Begins with (count, columns).
  var rows: [Float]
  var count: Int
  var columns: Int
  /// The residual stream at the mixer's taps and at the feed-forward's input: (count, hidden). Empty for an expert.
  var state: [Float] = []
  /// The tokens that the rows of an expert are of; empty for others.
  var routedTokens: [RoutedToken] = []
}

/// Reads activations of one unit of work, in the worker that computes them: all lanes of a context on the way to the
/// feed-forward, then some tokens of an expert.
protocol TapReader: Sendable {
  /// Whether it wants weights, which then are decoded even where products do without.
  static var readsWeights: Bool { get }
  mutating func read(_ activation: Activation)
}

extension TapReader {
  static var readsWeights: Bool { false }
}

/// Reads nothing.
struct NoReader: TapReader {
  func read(_ activation: Activation) {}
}
