import ArgumentParser
import IngotModels
import IngotPlanning
import IngotSystem
import IngotTensors

/// How many experts of every layer a plan may leave out.
enum DropAmount: ExpressibleByArgument, Hashable {
  /// The best of the numbers that were measured, none among them.
  case best
  case count(Int)
  /// Of a layer's experts.
  case share(Double)

  init?(argument: String) {
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
  var isNumber: Bool { self != .best }

  var defaultValueDescription: String { "best" }

  /// Numbers of experts to try.
  ///
  /// - Throws: when fewer would be left than a token goes to, or where a sensitivity says nothing of them.
  func counts(_ sensitivity: Sensitivity, _ model: Model, path: String) throws -> [Int] {
    guard let drops = sensitivity.drops, let first = drops.first else {
      throw FormatError(
        path: path,
        expected: "scores of experts (\"drops\"), for --allow-drop: 'ingot sensitivity' measures them",
        found: "none: it was written before there were any")
    }
    let experts = model.blueprint.experts
    let count: Int
    switch self {
    case .best: return [0] + first.counts
    case .count(let number): count = number
    case .share(let share): count = Int((share * Double(experts.count)).rounded())
    }
    guard count <= experts.count - experts.perToken else {
      throw ValidationError(
        "--allow-drop: at most \(experts.count - experts.perToken) of \(experts.count) experts, since a token goes to "
          + "\(experts.perToken).")
    }
    return [count]
  }
}
