import IngotTensors

/// In which order a model's placements are filled: tensors that are streamed as their sources lie in files, and among them
/// units of work, layer by layer, so that the statistics of one layer or two are in memory. Of a layer's units the longest come
/// first, the head's, which goes by the last layer's statistics, among that layer's: what is begun last should not be waited for.
///
/// A unit that another one depends on runs before it, also when an earlier run has written its tensors.
struct Schedule {
  /// What one task does.
  struct Item: Sendable {
    /// Nil for a tensor that is streamed.
    var unit: WorkUnit?
    /// Indices of placements; of a unit none when it runs for its successor alone.
    var placements: [Int]

    /// Bytes that its unit takes while it runs; 0 for a tensor that is streamed.
    var memory: Int { unit?.memory ?? 0 }
  }

  private var items: [Item] = []
  private var next = 0
  /// Items that became ready after their turn.
  private var ready: [Item] = []
  /// Items whose turn came before their predecessor had ended, by that.
  private var blocked: [ObjectIdentifier: [Item]] = [:]
  private var ended: Set<ObjectIdentifier> = []
  /// Units of a layer that have not ended, by the layer of their statistics.
  private var users: [Int: Int] = [:]

  /// - Parameters:
  ///   - order: indices of the placements that are to be filled, as their sources lie in files.
  ///   - tensor: the tensor of a placement.
  init(_ order: [Int], tensor: (Int) -> Tensor) {
    var places: [ObjectIdentifier: Int] = [:]
    for index in order {
      guard let unit = tensor(index).unit else {
        items.append(Item(placements: [index]))
        continue
      }
      if let place = places[ObjectIdentifier(unit)] {
        items[place].placements.append(index)
      } else {
        places[ObjectIdentifier(unit)] = items.count
        items.append(Item(unit: unit, placements: [index]))
      }
    }
    for item in items {
      var unit = item.unit
      while let before = unit?.predecessor, places[ObjectIdentifier(before)] == nil {
        places[ObjectIdentifier(before)] = items.count
        items.append(Item(unit: before, placements: []))
        unit = before
      }
    }
    let turns = items.indices.filter { items[$0].unit != nil }
    let units = turns.map { items[$0] }.enumerated().sorted { a, b in
      let (one, other) = (a.element.unit!, b.element.unit!)
      return (one.turn, -one.operations, a.offset) < (other.turn, -other.operations, b.offset)
    }
    for (turn, unit) in zip(turns, units) {
      items[turn] = unit.element
      if let statistics = unit.element.unit!.statistics { users[statistics.layer, default: 0] += 1 }
    }
  }

  /// Whether every item has been taken.
  var isEmpty: Bool { next == items.count && ready.isEmpty && blocked.isEmpty }

  /// Whether `take` may give one: some have not had their turn, or became ready after it.
  var hasNext: Bool { next < items.count || !ready.isEmpty }

  /// The next item that can be begun; nil when there is none, or none before another has ended.
  ///
  /// - Parameter room: bytes that a unit may take; one of more waits.
  mutating func take(room: Int = .max) -> Item? {
    if let item = ready.last {
      return item.memory <= room ? ready.popLast() : nil
    }
    while next < items.count {
      let item = items[next]
      if item.memory > room { return nil }
      next += 1
      guard let before = item.unit?.predecessor, !ended.contains(ObjectIdentifier(before)) else {
        return item
      }
      blocked[ObjectIdentifier(before), default: []].append(item)
    }
    return nil
  }

  /// An item has ended: its successors can be begun, and statistics that nobody needs any more are given up.
  mutating func end(_ item: Item) {
    guard let unit = item.unit else { return }
    ended.insert(ObjectIdentifier(unit))
    ready += blocked.removeValue(forKey: ObjectIdentifier(unit)) ?? []
    guard let statistics = unit.statistics else { return }
    users[statistics.layer]! -= 1
    if users[statistics.layer] == 0 { statistics.unload() }
  }
}

extension WorkUnit {
  /// The layer whose turn is its own.
  fileprivate var turn: Int { statistics?.layer ?? layer ?? .max }
}
