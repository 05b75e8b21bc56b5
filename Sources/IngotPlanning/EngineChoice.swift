import IngotModels
import IngotQuantization

/// A recipe as an engine would run it.
public struct EngineChoice: Sendable {
  public var engine: Engine
  public var recipe: Recipe
  public var weights: Weights
  /// Bits for each parameter of the model.
  public var bits: Double

  public init(engine: Engine, recipe: Recipe, weights: Weights, bits: Double) {
    self.engine = engine
    self.recipe = recipe
    self.weights = weights
    self.bits = bits
  }
}

/// What of a choice fits on a machine.
public struct FitCell: Sendable {
  public var machine: Machine
  public var choice: EngineChoice
  /// nil: the engine does not run there.
  public var fit: Fit?
  /// Tokens; nil: not even the shortest context fits.
  public var longestContext: Int?
  /// Tokens a second that the disk allows, where experts spill onto it and no context was asked for that fits.
  public var diskBound: Double?

  public init(machine: Machine, choice: EngineChoice, fit: Fit?, longestContext: Int?, diskBound: Double?) {
    self.machine = machine
    self.choice = choice
    self.fit = fit
    self.longestContext = longestContext
    self.diskBound = diskBound
  }
}
