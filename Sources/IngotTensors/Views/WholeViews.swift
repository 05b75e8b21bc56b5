import IngotSystem
import Synchronization

extension Tensor {
  /// A tensor whose planes are made from all of this one's: it is had as a whole.
  ///
  /// - Parameter body: gets this tensor's planes and gives those of the new one, in bytes of their own.
  public func remade(
    as encoding: Encoding, shape: [Int], name: String, role: Role,
    _ body: @escaping @Sendable ([Bytes]) throws(FormatError) -> [Bytes]
  ) -> Tensor {
    let rows = Matrix(shape)!.rows
    return Tensor(
      name: name, role: role, shape: shape, encoding: encoding, path: path, offset: offset,
      rowStep: max(rows, encoding.rowStep(rows: rows), 1), unit: unit,
      sources: { [self] rows in rows.isEmpty ? [] : sources(rows: 0..<self.rows) },
      make: { [self] rows, sources throws(FormatError) in
        guard !rows.isEmpty else { return encoding.planes(shape)!.map { _ in .empty } }
        return try body(try planes(rows: 0..<self.rows, from: sources))
      })
  }

  /// The same tensor for a number of readers: what a unit of work makes once is kept until each of them has had it. A
  /// tensor that no unit makes is as it was.
  public func shared(by readers: Int) -> Tensor {
    guard unit != nil else { return self }
    let held = Held()
    return Tensor(
      name: name, role: role, shape: shape, encoding: encoding, path: path, offset: offset,
      rowStep: max(rows, rowStep), unit: unit, sources: { [self] rows in sources(rows: rows) },
      make: { [self] rows, sources throws(FormatError) in
        if rows.isEmpty { return try planes(rows: rows, from: sources) }
        return try held.planes(readers) { () throws(FormatError) in try planes(rows: rows, from: sources) }
      })
  }
}

/// Planes that some readers have not had yet.
private final class Held: Sendable {
  private let state = Mutex<(planes: [Bytes], left: Int)>(([], 0))

  func planes(_ readers: Int, _ make: () throws(FormatError) -> [Bytes]) throws(FormatError) -> [Bytes] {
    let held: [Bytes]? = state.withLock { state in
      guard state.left > 0 else { return nil }
      state.left -= 1
      defer { if state.left == 0 { state.planes = [] } }
      return state.planes
    }
    if let held { return held }
    let made = try make()
    state.withLock { $0 = readers > 1 ? (made, readers - 1) : ([], 0) }
    return made
  }
}
