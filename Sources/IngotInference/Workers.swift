import IngotSystem
import IngotTensors

/// Memory that a worker keeps from one unit of work to the next. Contents are whatever the last user left.
struct Buffers {
  /// The weights in use, decoded: a projection of an expert, or rows of the head of one or two models.
  var weights: [Float] = []
  var otherWeights: [Float] = []
  /// Inputs of an expert and its two inner products.
  var gathered: [Float] = []
  var gateActivations: [Float] = []
  var upActivations: [Float] = []
  /// The same of routed tokens that are only looked at.
  var forced: (gathered: [Float], gateActivations: [Float], upActivations: [Float]) = ([], [], [])
  /// Outputs of an expert that are only looked at.
  var probed: [Float] = []
  var queries: [Float] = []
  var keys: [Float] = []
  var values: [Float] = []
  var attended: [Float] = []
  var scores: [Float] = []
  /// Logits of two models for the same tokens and rows of the head.
  var logits: [Float] = []
  var otherLogits: [Float] = []
}

extension [Float] {
  /// Makes room for at least `count` values. What stood here may be lost.
  mutating func provide(_ count: Int) {
    if self.count < count {
      self = []
      self = [Float](repeating: 0, count: count)
    }
  }
}

/// Owner of one set of buffers. An actor, so that one unit of work at a time uses them.
actor Worker {
  private var buffers = Buffers()

  func perform<Output: Sendable>(_ unit: @Sendable (inout Buffers) throws(FormatError) -> Output)
    -> Result<Output, FormatError>
  {
    do throws(FormatError) {
      return .success(try unit(&buffers))
    } catch {
      return .failure(error)
    }
  }
}

/// A fixed number of workers that share out numbered units of work and hand results back in the order of the
/// numbers, so that nothing computed from them depends on how many workers there are.
struct Workers: Sendable {
  private let members: [Worker]

  var count: Int { members.count }

  init(_ count: Int) {
    precondition(count > 0, "work needs a worker")
    members = (0..<count).map { _ in Worker() }
  }

  /// Runs units 0 ..< `count` and gives each output to `deliver`, one after the other, in ascending order.
  ///
  /// At most twice as many outputs as workers wait for an earlier one.
  /// - Throws: the error of the failing unit of the lowest number, after the units under way have ended.
  func inOrder<Output: Sendable>(
    _ count: Int, _ unit: @escaping @Sendable (Int, inout Buffers) throws(FormatError) -> Output,
    deliver: (Int, Output) throws(FormatError) -> Void
  ) async throws(FormatError) {
    if members.count == 1 || count == 1 {
      // Without a detour over other threads: when a single token passes a layer, its units are small.
      for number in 0..<count {
        let result = await members[0].perform { buffers throws(FormatError) in try unit(number, &buffers) }
        try deliver(number, try result.get())
      }
      return
    }
    let members = members
    let outcome = await withTaskGroup(of: (unit: Int, worker: Int, result: Result<Output, FormatError>).self)
    {
      group -> Result<Void, FormatError> in
      var idle = Array(members.indices.reversed())
      var waiting: [Int: Result<Output, FormatError>] = [:]
      var started = 0
      var delivered = 0
      while delivered < count {
        while started < count, started - delivered < 2 * members.count, let worker = idle.popLast() {
          let number = started
          started += 1
          group.addTask {
            let result = await members[worker].perform { buffers throws(FormatError) in
              try unit(number, &buffers)
            }
            return (number, worker, result)
          }
        }
        guard let ended = await group.next() else { preconditionFailure("the next unit is always under way") }
        idle.append(ended.worker)
        waiting[ended.unit] = ended.result
        while let result = waiting.removeValue(forKey: delivered) {
          do throws(FormatError) {
            try deliver(delivered, try result.get())
          } catch {
            return .failure(error)
          }
          delivered += 1
        }
      }
      return .success(())
    }
    try outcome.get()
  }
}
