import IngotSystem
import IngotTensors
import Synchronization

extension LayerWeights {
  /// Takes sequences that are continued to a place side by side: large products together, what is between them by sequence, shared out over
  /// the team's threads.
  ///
  /// - Parameter count: contexts of each lane, for messages.
  func advanceTogether(
    _ passages: inout [Passage], _ steps: ArraySlice<LayerPlace>, _ team: ThreadTeam, contexts count: Int
  ) throws(FormatError) {
    for step in steps {
      let products =
        step == .mixerInput
        ? [[Role: [Float]]](repeating: [:], count: passages.count)
        : try self.products(of: passages.map(\.rows), to: step)
      // Taken out, so that what a sequence keeps is added to in place.
      let slots = Slots(passages)
      let outcomes = Outcomes(passages.count)
      passages = [Passage](repeating: Passage(), count: passages.count)
      team.perform(outcomes.count) { index in
        var (passage, buffers) = (slots.take(index), Buffers())
        do throws(FormatError) {
          try advance(
            &passage, to: step, context: index % count, keepsGates: false, products: products[index], &buffers
          ) { _, _, _ in }
          outcomes.put(.success(passage), index)
        } catch {
          outcomes.put(.failure(error), index)
        }
      }
      for (index, outcome) in outcomes.all.enumerated() { passages[index] = try outcome.get() }
    }
  }
}

/// Values that units of work take out, so that they can change them in place.
final class Slots<Value: Sendable>: Sendable {
  private let values: Mutex<[Value?]>

  init(_ values: [Value]) { self.values = Mutex(values) }

  func take(_ index: Int) -> Value {
    values.withLock { values in
      defer { values[index] = nil }
      return values[index]!
    }
  }
}

/// Sequences behind a step, by number.
private final class Outcomes: Sendable {
  let count: Int
  private let values: Mutex<[Result<Passage, FormatError>?]>

  init(_ count: Int) {
    self.count = count
    values = Mutex([Result<Passage, FormatError>?](repeating: nil, count: count))
  }

  func put(_ outcome: Result<Passage, FormatError>, _ index: Int) { values.withLock { $0[index] = outcome } }

  /// All of them, once.
  var all: [Result<Passage, FormatError>] {
    values.withLock { values in
      defer { values = [] }
      return values.map { $0! }
    }
  }
}
