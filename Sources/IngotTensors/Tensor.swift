import IngotSystem

/// One logical tensor: what it is for, its shape and encoding, and how to get its bytes. Nothing is
/// read or computed before it is asked for.
public struct Tensor: Sendable {
  /// Gives the planes of a range of rows. The range begins at a multiple of `rowStep`.
  public typealias Load = @Sendable (_ rows: Range<Int>) throws(FormatError) -> [Bytes]
  /// Gives what the planes of a range of rows are made from: slices of files, in an order of the tensor's own.
  public typealias Sources = @Sendable (_ rows: Range<Int>) -> [Bytes]
  /// Makes the planes of a range of rows from its sources, or copies of them.
  public typealias Make = @Sendable (_ rows: Range<Int>, _ sources: [Bytes]) throws(FormatError) -> [Bytes]

  /// Name in the checkpoint the model came from.
  public var name: String
  public var role: Role
  public var shape: [Int]
  public var encoding: Encoding
  /// File the bytes come from, for messages.
  public var path: String
  /// Where its first byte stands there.
  public var offset: UInt64
  /// A range of rows to be loaded alone must begin at a multiple of this.
  public let rowStep: Int
  /// The whole planes, when they are in memory or in a mapping as they are: views cut these. Nil when planes are made.
  let stored: [Bytes]?
  /// What `reordered` gives: one tensor or none.
  private var bases: [(base: Tensor, selection: RowSelection)] = []
  /// The unit that makes it together with other tensors, or alone but whole; nil for one that is streamed.
  public let unit: WorkUnit?
  private let sources: Sources
  private let make: Make
  /// One tensor or none: what it was quantized from.
  private var origins: [Tensor] = []

  /// The values that this tensor was quantized from, in F32, for a container that stores some of its rows in another orientation
  /// and quantizes them there; nil for one that was read.
  public var origin: Tensor? {
    get { origins.first }
    set { origins = newValue.map { [$0] } ?? [] }
  }

  /// The tensor whose rows these are, in another order, and which: where that is in memory or in a mapping as it is, and has not many
  /// more. Products with it need no copy of these rows.
  public internal(set) var reordered: (base: Tensor, selection: RowSelection)? {
    get { bases.first }
    set { bases = newValue.map { [$0] } ?? [] }
  }

  /// - Parameter rowStep: the encoding's, or a multiple of it when `load` needs larger steps.
  public init(
    name: String, role: Role, shape: [Int], encoding: Encoding, path: String, offset: UInt64 = 0,
    rowStep: Int? = nil, load: @escaping Load
  ) {
    self.init(
      name: name, role: role, shape: shape, encoding: encoding, path: path, offset: offset, rowStep: rowStep,
      sources: { _ in [] }, make: { rows, _ throws(FormatError) in try load(rows) })
  }

  /// A tensor whose planes are made from sources; `stored` for one whose sources are its planes, `unit` for one that is made
  /// from a unit's tensor.
  init(
    name: String, role: Role, shape: [Int], encoding: Encoding, path: String, offset: UInt64, rowStep: Int?,
    stored: [Bytes]? = nil, unit: WorkUnit? = nil, sources: @escaping Sources, make: @escaping Make
  ) {
    precondition(Matrix(shape) != nil && encoding.planes(shape) != nil, "\(name): \(encoding) does not fit")
    self.name = name
    self.role = role
    self.shape = shape
    self.encoding = encoding
    self.path = path
    self.offset = offset
    self.rowStep = rowStep ?? encoding.rowStep(rows: Matrix(shape)!.rows)
    self.stored = stored
    self.unit = unit
    self.sources = sources
    self.make = make
  }

  /// A tensor whose planes lie in memory or in a mapping as they are.
  public init(
    name: String, role: Role, shape: [Int], encoding: Encoding, path: String, offset: UInt64 = 0,
    planes: [Bytes]
  ) {
    let layout = encoding.planes(shape)!
    precondition(layout.map(\.bytes) == planes.map(\.count), "\(name): planes do not have their sizes")
    self.init(
      name: name, role: role, shape: shape, encoding: encoding, path: path, offset: offset, rowStep: nil,
      stored: planes,
      sources: { rows in zip(layout, planes).map { plane, bytes in bytes[plane.range(rows: rows)] } },
      make: { _, sources in sources })
  }

  /// A tensor of the same name and shape whose planes are made from this one's, range by range.
  ///
  /// - Parameters:
  ///   - rowStep: this tensor's or a multiple of it; by default the least that both encodings allow.
  ///   - body: gets the planes of the rows in this tensor's encoding, gives them in the new one.
  public func mapped(
    to encoding: Encoding, rowStep: Int? = nil,
    _ body: @escaping @Sendable (_ rows: Range<Int>, _ planes: [Bytes]) throws(FormatError) -> [Bytes]
  ) -> Tensor {
    Tensor(
      name: name, role: role, shape: shape, encoding: encoding, path: path, offset: offset,
      rowStep: rowStep ?? max(self.rowStep, encoding.rowStep(rows: rows)), unit: unit, sources: sources,
      make: { [make] rows, sources throws(FormatError) in try body(rows, try make(rows, sources)) })
  }

  public var rows: Int { Matrix(shape)!.rows }
  public var columns: Int { Matrix(shape)!.columns }
  public var count: Int { elementCount(shape)! }
  /// Bytes of all planes.
  public var bytes: Int { encoding.bytes(shape)! }

  /// The planes, in the encoding's order, of all rows or of a range.
  public func planes(rows range: Range<Int>? = nil) throws(FormatError) -> [Bytes] {
    let range = range ?? 0..<rows
    return try planes(rows: range, from: sources(rows: range).resident())
  }

  /// What `planes(rows:from:)` wants: slices of files, to be read as they are or fetched beforehand. Empty for a tensor
  /// that reads by itself.
  public func sources(rows range: Range<Int>) -> [Bytes] {
    precondition(range.lowerBound % rowStep == 0 && range.upperBound <= rows)
    return sources(range)
  }

  /// The planes of a range of rows, made from its sources or from copies of them.
  public func planes(rows range: Range<Int>, from sources: [Bytes]) throws(FormatError) -> [Bytes] {
    precondition(range.lowerBound % rowStep == 0 && range.upperBound <= rows)
    return try make(range, sources).resident()
  }

  /// Decodes all rows or a range of them to F32 into `out` (rows, columns).
  ///
  /// - Throws: FormatError when the bytes cannot be had or the type has no values in F32.
  public func decode(rows range: Range<Int>? = nil, into out: inout MutableSpan<Float>) throws(FormatError) {
    guard encoding.isDecodable else {
      throw error("values that can be decoded to F32", found: "\(encoding)")
    }
    let range = range ?? 0..<rows
    guard columns > 0, !range.isEmpty else { return }
    encoding.decode(try planes(rows: range), rows: range.count, columns: columns, into: &out)
  }

  /// All values, or those of a range of rows, in F32: (rows, columns).
  public func floats(rows range: Range<Int>? = nil) throws(FormatError) -> [Float] {
    let range = range ?? 0..<rows
    var values = [Float](repeating: 0, count: range.count * columns)
    var span = values.mutableSpan
    try decode(rows: range, into: &span)
    return values
  }

  /// Ranges of rows that cover the tensor, each of at most `values` values where `rowStep`
  /// allows it. They depend on shape and encoding only, never on the machine.
  public func rowChunks(values: Int = 1 << 22) -> [Range<Int>] {
    // A file may claim any number of rows without columns: they hold nothing.
    guard count > 0 else { return [] }
    let step = rowStep
    let fitting = max(values / max(columns, 1) / step * step, step)
    return stride(from: 0, to: rows, by: fitting).map { $0..<min($0 + fitting, rows) }
  }

  /// An error about this tensor.
  public func error(_ expected: String, found: String) -> FormatError {
    FormatError(path: path, tensor: name, offset: offset, expected: expected, found: found)
  }
}

extension [Bytes] {
  /// These bytes where they are; those of files on other machines fetched, so that an error of the network is thrown.
  func resident() throws(FormatError) -> [Bytes] {
    guard contains(where: \.isRemote) else { return self }
    return try map { bytes throws(FormatError) in try bytes.resident() }
  }
}
