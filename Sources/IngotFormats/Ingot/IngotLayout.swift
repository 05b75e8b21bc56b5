import IngotModels
import IngotSystem
import IngotTensors
import IngotTokenizer

/// Constants and records of the `.ingot` format, as formats/ingot/SPEC.md states them.
package enum IngotLayout {
  package static let magic: [UInt8] = [0x89, 0x49, 0x4E, 0x47, 0x4F, 0x54, 0x0D, 0x0A]
  package static let majorVersion: UInt16 = 1
  package static let minorVersion: UInt16 = 0
  package static let headerSize = 128
  /// A run (an expert's tensors, or the tensors of a layer that no expert owns) begins at a multiple of this.
  package static let runAlignment = 65_536
  /// A plane, and a side file, begins at a multiple of this.
  package static let planeAlignment = 64
  package static let countsSize = 24
  package static let encodingSize = 32
  package static let kindSize = 64
  package static let tensorSize = 104
  package static let fileSize = 48
  /// Most extents of a tensor.
  package static let rankLimit = 8
  package static let planeLimit = 3
  /// Largest directory, in bytes.
  package static let directoryLimit = 1 << 30
  package static let encodingLimit = 65_536
  package static let kindLimit = 65_536
  package static let partLimit = 99_999

  /// zstd frames of side files, added up in the directory's order: what they unfold to is bounded by what is stored,
  /// so that a small file cannot ask for much memory.
  package struct Frames {
    private var stored = 0
    private var content = 0

    package init() {}

    package mutating func add(stored: Int, content: Int) {
      self.stored += stored
      let (sum, overflow) = self.content.addingReportingOverflow(content)
      self.content = overflow ? .max : sum
    }

    package var areBounded: Bool { content <= min(SideFile.sizeLimit, (1 << 20) + 256 * stored) }
  }

  /// Whether a side file may have this name. Looked at byte by byte: a combining mark after '/' makes another
  /// character of it, not another path.
  package static func isPlainName(_ name: String) -> Bool {
    let text = name.utf8
    return !text.isEmpty && text.count <= 255 && text.first != UInt8(ascii: ".")
      && !text.contains { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: "\\") || $0 == 0 }
  }

  /// Whether a side file may have this name: a plain one, or that of an additional chat template in its folder.
  package static func isSideFileName(_ name: String) -> Bool {
    isPlainName(name) || ChatTemplates.isAdditional(name)
  }

  /// Numbers of the value types. Never renumbered.
  package static let types: [(number: UInt8, type: DType)] = [
    (0, .f64), (1, .f32), (2, .f16), (3, .bf16), (4, .f8e4m3), (5, .f8e5m2), (6, .f8e8m0), (7, .f6e2m3),
    (8, .f6e3m2), (9, .f4), (10, .i64), (11, .i32), (12, .i16), (13, .i8), (14, .u64), (15, .u32), (16, .u16),
    (17, .u8), (18, .bool), (19, .c64),
  ]

  /// Numbers of an affine encoding's offsets.
  package static let offsets: [(number: UInt8, offset: Affine.Offset)] = [
    (0, .symmetric), (1, .zeroPoint), (2, .bias),
  ]

  /// What a file record holds.
  package enum FileKind: UInt16 {
    case sideFile = 0
    case provenance = 1
  }

  package static func number(of type: DType) -> UInt8 { types.first { $0.type == type }!.number }

  package static func align(_ offset: Int, to alignment: Int) -> Int {
    (offset + alignment - 1) / alignment * alignment
  }

  /// Where the planes of a tensor lie from its start, and how many bytes it takes.
  package static func planeOffsets(_ planes: [Plane]) -> (offsets: [Int], length: Int) {
    var offsets: [Int] = []
    var end = 0
    for plane in planes {
      let start = align(end, to: planeAlignment)
      offsets.append(start)
      end = start + plane.bytes
    }
    return (offsets, end)
  }
}

/// Little-endian bytes under construction.
struct ByteWriter {
  private(set) var bytes: [UInt8] = []

  mutating func put<T: FixedWidthInteger>(_ value: T) {
    for index in 0..<T.bitWidth / 8 { bytes.append(UInt8(truncatingIfNeeded: value >> (8 * index))) }
  }

  mutating func put(_ values: [UInt8]) { bytes.append(contentsOf: values) }

  /// Zeros up to `size` bytes in all.
  mutating func pad(to size: Int) {
    precondition(bytes.count <= size)
    bytes.append(contentsOf: [UInt8](repeating: 0, count: size - bytes.count))
  }
}

/// One part's fixed header.
struct IngotHeader: Equatable {
  var part: Int
  var parts: Int
  var fileLength: Int
  var directoryOffset: Int
  var directoryLength: Int
  var directoryChecksum: UInt64
}

/// A tensor's record in the directory.
struct IngotTensorRecord {
  var name: String
  var role: Role
  var encoding: Encoding
  var shape: [Int]
  var part: Int
  var offset: Int
  var length: Int
  var checksums: [UInt64]
}

/// A side file's record.
struct IngotFileRecord {
  var name: String
  var kind: IngotLayout.FileKind
  var compressed: Bool
  var offset: Int
  var storedLength: Int
  var rawLength: Int
  var checksum: UInt64
}
