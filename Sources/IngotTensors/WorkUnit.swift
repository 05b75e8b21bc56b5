import IngotSystem
import Synchronization

/// Tensors that are made together: what a writer schedules, a journal records and progress counts, and what one machine of
/// several may be given.
///
/// The planes depend on the unit alone, so any order, number of threads, interrupted run or division among machines gives the
/// same bytes. Most units stream one tensor: its rows are made from its sources a range at a time. The others make their
/// tensors whole, because these share calibration statistics or one is calibrated on what the others give.
public final class WorkUnit: Sendable {
  /// Planes by role, in the order of each tensor's encoding.
  public typealias Planes = [Role: [Bytes]]

  /// Calibration statistics of a layer, which several units need: loaded before the first of them runs, unloaded after the
  /// last. A unit that runs without them being loaded reads them for itself.
  public struct Statistics: Sendable {
    public let layer: Int
    /// Reads them into memory where they are not there yet.
    public let load: @Sendable () async throws(FormatError) -> Void
    public let unload: @Sendable () -> Void

    public init(
      layer: Int, load: @escaping @Sendable () async throws(FormatError) -> Void,
      unload: @escaping @Sendable () -> Void
    ) {
      self.layer = layer
      self.load = load
      self.unload = unload
    }
  }

  /// What makes the planes; on threads that share out what is large, or on the caller's alone.
  public typealias Make = @Sendable (_ threads: Threads?) throws(FormatError) -> Planes

  /// Makes ranges of rows of a unit's tensors apart from each other, for readers that do not want all of them at once.
  public struct RowMaker: Sendable {
    /// What a range begins at a multiple of.
    public let step: Int
    let make: @Sendable (_ role: Role, _ rows: Range<Int>) throws(FormatError) -> [Bytes]
    /// Gives up what it keeps from one range to the next.
    let drop: @Sendable () -> Void

    public init(
      step: Int, make: @escaping @Sendable (_ role: Role, _ rows: Range<Int>) throws(FormatError) -> [Bytes],
      drop: @escaping @Sendable () -> Void
    ) {
      self.step = step
      self.make = make
      self.drop = drop
    }
  }

  private enum Body: Sendable {
    case streamed
    case whole(Make)
    case ordered(@Sendable () async throws(FormatError) -> Planes)
  }

  /// The tensors that it makes.
  public let roles: [Role]
  /// Tensors of the source that it makes them from.
  public let reads: [Tensor]
  public let statistics: Statistics?
  /// The unit that must have run before; nil for most, which can run at any time.
  public let predecessor: WorkUnit?
  /// Floating-point operations, about; 0 for one that streams. Of units that can be begun, the longest should come first.
  public let operations: Double
  /// Bytes that it takes while it runs, about, beside its statistics.
  public let memory: Int
  /// Nil where rows cannot be made apart, or nobody wants them so.
  public let rowMaker: RowMaker?
  private let body: Body
  /// Planes that were made and not taken yet.
  private let untaken = Mutex<Planes>([:])

  /// A tensor that is made from its own sources.
  public init(streaming tensor: Tensor) {
    roles = [tensor.role]
    reads = [tensor]
    statistics = nil
    predecessor = nil
    (operations, memory, rowMaker) = (0, 0, nil)
    body = .streamed
  }

  /// Tensors that are made whole, at any time.
  ///
  /// - Parameter make: gets the threads that it can share out what is large to, being on one of them; nil for none.
  public init(
    _ roles: [Role], reads: [Tensor], statistics: Statistics?, operations: Double = 0, memory: Int = 0,
    rowMaker: RowMaker? = nil, make: @escaping Make
  ) {
    self.roles = roles
    self.reads = reads
    self.statistics = statistics
    predecessor = nil
    (self.operations, self.memory) = (operations, memory)
    self.rowMaker = rowMaker
    body = .whole(make)
  }

  /// Tensors that are made whole, once another unit has run.
  public init(
    _ roles: [Role], reads: [Tensor], after predecessor: WorkUnit?,
    make: @escaping @Sendable () async throws(FormatError) -> Planes
  ) {
    self.roles = roles
    self.reads = reads
    statistics = nil
    self.predecessor = predecessor
    (operations, memory, rowMaker) = (0, 0, nil)
    body = .ordered(make)
  }

  /// Whether it has one tensor, whose planes are made range by range.
  public var isStreamed: Bool {
    if case .streamed = body { return true }
    return false
  }

  /// The layer that its tensors belong to; nil for tensors of the whole model.
  public var layer: Int? { roles.first?.layer }

  /// Makes all of its tensors for whoever asks for their planes next, each once. Nothing for a streamed unit.
  ///
  /// - Parameter threads: the caller's, which share out what is large.
  public func run(on threads: Threads? = nil) async throws(FormatError) {
    let planes: Planes
    switch body {
    case .streamed: return
    case .whole(let make):
      try await statistics?.load()
      planes = try make(threads)
    case .ordered(let make): planes = try await make()
    }
    untaken.withLock { $0 = planes }
  }

  /// The planes of all of its tensors, for a unit that can run at any time.
  ///
  /// - Parameter threads: the caller's, which share out what is large.
  public func planes(on threads: Threads? = nil) throws(FormatError) -> Planes {
    switch body {
    case .streamed: return [roles[0]: try reads[0].planes()]
    case .whole(let make): return try make(threads)
    case .ordered: preconditionFailure("\(roles) are made after others")
    }
  }

  /// Gives up planes that nobody took, and what rows are made with.
  public func drop() {
    untaken.withLock { $0 = [:] }
    rowMaker?.drop()
  }

  /// The planes of some rows of a tensor: of those that wait to be taken, which stay, or made for the caller.
  func rows(_ role: Role, _ rows: Range<Int>, _ layout: [Plane], _ maker: RowMaker) throws(FormatError)
    -> [Bytes]
  {
    guard let planes = untaken.withLock({ $0[role] }) else { return try maker.make(role, rows) }
    return zip(layout, planes).map { $1[$0.range(rows: rows)] }
  }

  /// The planes of one of its tensors. Without a run before, all are made; those of the others wait to be taken, since a
  /// forward pass asks for one tensor after the other.
  func take(_ role: Role) throws(FormatError) -> [Bytes] {
    if let planes = untaken.withLock({ $0.removeValue(forKey: role) }) { return planes }
    var made = try planes()
    let planes = made.removeValue(forKey: role)!
    untaken.withLock { $0 = made }
    return planes
  }
}

extension Tensor {
  /// A tensor of the same name and shape that a unit makes: it is had as a whole, or by rows where the unit can make these.
  public func made(by unit: WorkUnit, as encoding: Encoding) -> Tensor {
    let (role, count) = (role, rows)
    precondition(unit.roles.contains(role), "\(role) is not of this unit")
    let layout = encoding.planes(shape)!
    var tensor = Tensor(
      name: name, role: role, shape: shape, encoding: encoding, path: path, offset: offset,
      rowStep: max(min(unit.rowMaker?.step ?? count, count), 1), unit: unit, sources: { _ in [] },
      make: { rows, _ throws(FormatError) in
        guard let maker = unit.rowMaker, rows.count < count else { return try unit.take(role) }
        return try unit.rows(role, rows, layout, maker)
      })
    tensor.origin = origin
    return tensor
  }
}

extension [Tensor] {
  /// The units that make these tensors, each once.
  public var workUnits: [WorkUnit] {
    var seen: Set<ObjectIdentifier> = []
    return compactMap { tensor in
      guard let unit = tensor.unit else { return WorkUnit(streaming: tensor) }
      return seen.insert(ObjectIdentifier(unit)).inserted ? unit : nil
    }
  }
}
