import IngotModels
import IngotPlanning
import IngotSystem
import IngotTensors

/// How many experts of every layer a plan may leave out.
public enum DropAmount: Hashable, Sendable {
  /// The best of the numbers that were measured, none among them.
  case best
  case count(Int)
  /// Of a layer's experts.
  case share(Double)

  /// `4`, `25%` or `0.25`.
  public init?(_ text: String) {
    let argument = text
    if let count = Int(argument), count > 0 {
      self = .count(count)
    } else if argument.hasSuffix("%"), let share = Double(argument.dropLast()), share > 0, share < 100 {
      self = .share(share / 100)
    } else if let share = Double(argument), share > 0, share < 1 {
      self = .share(share)
    } else {
      return nil
    }
  }

  /// Whether it names a number of experts.
  public var isNumber: Bool { self != .best }

  /// Numbers of experts to try.
  ///
  /// - Throws: when fewer would be left than a token goes to, or where a sensitivity says nothing of them.
  func counts(_ sensitivity: Sensitivity, _ model: Model, path: String) throws -> [Int] {
    guard let drops = sensitivity.drops, let first = drops.first else {
      throw FormatError(
        path: path,
        expected: "scores of experts (\"drops\"), as a sensitivity file of today has them",
        found: "none: it was written before there were any; measure anew with 'ingot sensitivity'")
    }
    let experts = model.blueprint.experts
    let count: Int
    switch self {
    case .best: return [0] + first.counts
    case .count(let number): count = number
    case .share(let share): count = Int((share * Double(experts.count)).rounded())
    }
    guard count <= experts.count - experts.perToken else {
      throw RequestError(
        .allowDrop,
        "at most \(experts.count - experts.perToken) of \(experts.count) experts, since a token goes to "
          + "\(experts.perToken).")
    }
    return [count]
  }
}
