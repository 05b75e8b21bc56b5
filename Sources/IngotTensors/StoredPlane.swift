import IngotKernels
import IngotSystem

/// What a file holds of a plane, where that is not the plane itself: a scale of the whole tensor in place of one for each row, or
/// entries that are written otherwise. No number changes.
public struct StoredPlane: Sendable {
  /// How the entries become those of the plane.
  public enum Entries: Hashable, Sendable {
    case same
    /// E8M0 to F32: 2^(byte − 127), 255 being NaN.
    case powersOfTwo
    /// Signed bytes to codes from 0: q + 128.
    case signed
  }

  var bytes: Bytes
  var span: Int
  var entries: Entries

  /// - Parameters:
  ///   - bytes: rows of entries, as many in each as a row of the plane has.
  ///   - span: rows of the tensor that each of them stands for: a multiple of the plane's own step, or that step.
  public init(_ bytes: Bytes, span: Int = 1, _ entries: Entries = .same) {
    precondition(span > 0)
    self.bytes = bytes
    self.span = span
    self.entries = entries
  }

  /// Bytes of a stored row for one of the plane's.
  private func rowBytes(_ plane: Plane) -> Int {
    entries == .powersOfTwo ? plane.bytesPerRow / 4 : plane.bytesPerRow
  }

  /// Whether the file has as many bytes as the plane of a tensor with so many rows needs.
  func fits(_ plane: Plane, rows: Int) -> Bool {
    bytes.count == Matrix.steps(rows, span) * rowBytes(plane) && span % plane.step == 0
  }

  /// What the plane of the tensor's `rows` is made from.
  func source(_ plane: Plane, rows: Range<Int>) -> Bytes {
    guard !rows.isEmpty else { return bytes[0..<0] }
    let width = rowBytes(plane)
    return bytes[rows.lowerBound / span * width..<Matrix.steps(rows.upperBound, span) * width]
  }

  /// The plane of the tensor's `rows` out of its source.
  func made(_ plane: Plane, rows: Range<Int>, from source: Bytes) -> Bytes {
    if span == plane.step && entries == .same { return source }
    let width = rowBytes(plane)
    let size = plane.range(rows: rows).count
    return Bytes(count: size) { output in
      let input = source.span
      var place = 0
      var row = rows.lowerBound
      while place < size {
        let start = (row / span - rows.lowerBound / span) * width
        for index in start..<start + width {
          let byte = input.littleEndian(UInt8.self, at: index)
          switch entries {
          case .same, .signed:
            output.storeBytes(
              of: entries == .signed ? byte ^ 0x80 : byte, toByteOffset: place, as: UInt8.self)
            place += 1
          case .powersOfTwo:
            let bits = MicroScaled.power(byte).bitPattern
            output.storeBytes(of: bits.littleEndian, toByteOffset: place, as: UInt32.self)
            place += 4
          }
        }
        row += plane.step
      }
    }
  }
}

extension Tensor {
  /// A tensor whose planes are made of what a file holds of them, in the encoding's order, as rows are asked for.
  public init(
    name: String, role: Role, shape: [Int], encoding: Encoding, path: String, offset: UInt64 = 0,
    stored: [StoredPlane]
  ) {
    let layout = encoding.planes(shape)!
    let rows = Matrix(shape)!.rows
    precondition(
      layout.count == stored.count && zip(layout, stored).allSatisfy { $1.fits($0, rows: rows) },
      "\(name): stored planes do not have their sizes")
    self.init(
      name: name, role: role, shape: shape, encoding: encoding, path: path, offset: offset,
      rowStep: nil,
      sources: { rows in zip(layout, stored).map { $1.source($0, rows: rows) } },
      make: { rows, sources in
        zip(zip(layout, stored), sources).map { $0.1.made($0.0, rows: rows, from: $1) }
      })
  }
}
