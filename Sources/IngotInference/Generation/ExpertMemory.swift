import IngotModels
import IngotSystem
import IngotTensors
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// What experts' weights took: of those that tokens went to, and of these what had to be read.
public struct ExpertReads: Hashable, Sendable {
  /// Bytes of the experts that were used, each time that they were.
  public var used = 0
  /// Bytes of those that were not among the ones kept.
  public var read = 0
  /// Bytes that may be kept; nil for no bound.
  public var budget: Int?

  public var json: JSON {
    ["usedBytes": JSON(used), "readBytes": JSON(read), "budget": budget.map { JSON($0) } ?? .null]
  }
}

/// The weights of experts as a sequence is continued: once a layer's router has chosen, those that are not in memory are read by threads
/// of their own, while the first of them are multiplied; where a budget is given, those that were not used for the longest time give up
/// their pages.
final class ExpertMemory: Sendable {
  private struct Unit: Hashable {
    var layer: Int
    var expert: Int
  }

  private struct State {
    /// When a unit was used last.
    var used: [Unit: Int] = [:]
    var bytes = 0
    var time = 0
    var reads = ExpertReads()
  }

  private let model: Model
  /// Bytes of experts that may be in memory; nil to leave that to the system.
  private let budget: Int?
  private let reader: ReadAhead
  private let state: Mutex<State>

  /// Nil where nothing is to be done: the model has no experts, or there is no budget and all of it fits in the machine's memory.
  ///
  /// - Parameter budget: bytes of weights that may be in memory, experts and others.
  /// - Throws: FormatError for a budget that the weights every token needs and a layer's chosen experts do not fit in.
  init?(_ model: Model, budget: Int?) throws(FormatError) {
    let blueprint = model.blueprint
    let isExpert = { (tensor: Tensor) in tensor.role.expert != nil }
    let others = model.tensors.filter { !isExpert($0) }.reduce(0) { $0 + $1.bytes }
    guard budget != nil || model.bytes > ExpertMemory.physical else { return nil }
    var least = others
    if let layer = blueprint.mixtures.first {
      let block = blueprint.layers[layer].feedForward
      let all = model.tensors.filter { isExpert($0) && $0.role.layer == layer }.reduce(0) { $0 + $1.bytes }
      least += (all / max(block.count, 1) + 1) * block.perToken
    }
    if let budget, budget < least {
      throw FormatError(
        path: model.path, expected: "memory for what every token needs: \(decimal(least))",
        found: "\(decimal(budget)); give more, or no bound")
    }
    guard !blueprint.mixtures.isEmpty else { return nil }
    self.model = model
    self.budget = budget.map { $0 - others }
    reader = ReadAhead(4)
    var state = State()
    state.reads.budget = budget
    self.state = Mutex(state)
  }

  var reads: ExpertReads { state.withLock { $0.reads } }

  /// The machine's memory.
  private static var physical: Int { Int(sysconf(Int32(_SC_PHYS_PAGES))) * Int(sysconf(Int32(_SC_PAGESIZE))) }

  /// Tells that tokens go to these experts of a layer now.
  func want(_ experts: [Int], layer: Int) {
    var missing: [Unit] = []
    var evicted: [Unit] = []
    let sizes = experts.map { bytes(of: Unit(layer: layer, expert: $0)) }
    state.withLock { state in
      state.time += 1
      for (expert, size) in zip(experts, sizes) {
        let unit = Unit(layer: layer, expert: expert)
        state.reads.used += size
        if state.used.updateValue(state.time, forKey: unit) == nil {
          state.bytes += size
          state.reads.read += size
          missing.append(unit)
        }
      }
      guard let budget, state.bytes > budget else { return }
      // Some more than has to be, so that it is not looked for each time.
      let time = state.time
      for (unit, _) in state.used.filter({ $0.value < time }).sorted(by: {
        ($0.value, $0.key.layer, $0.key.expert) < ($1.value, $1.key.layer, $1.key.expert)
      }) {
        if state.bytes <= budget - budget / 16 { break }
        state.used[unit] = nil
        state.bytes -= bytes(of: unit)
        evicted.append(unit)
      }
    }
    if missing.isEmpty && evicted.isEmpty { return }
    reader.read(missing.flatMap(planes), forgetting: evicted.flatMap(planes))
  }

  private func tensors(of unit: Unit) -> [Tensor] {
    let block = model.blueprint.layers[unit.layer].feedForward
    return block.projections.all.compactMap {
      model[block.role($0, layer: unit.layer, expert: unit.expert)]
    }
  }

  private func bytes(of unit: Unit) -> Int { tensors(of: unit).reduce(0) { $0 + $1.bytes } }

  /// The slices of files that they are in.
  private func planes(of unit: Unit) -> [Bytes] {
    tensors(of: unit).flatMap { $0.sources(rows: 0..<$0.rows) }
  }
}
