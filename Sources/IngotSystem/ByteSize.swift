/// A number of bytes as people write it.
public struct ByteSize: Hashable, Sendable, CustomStringConvertible {
  public let bytes: Int
  public let description: String

  /// Units: powers of ten (kB, MB, GB, TB) and of two (KiB, MiB, GiB, TiB).
  private static let units: [(String, Double)] = [
    ("TiB", 1_099_511_627_776), ("GiB", 1_073_741_824), ("MiB", 1_048_576), ("KiB", 1024), ("TB", 1e12),
    ("GB", 1e9), ("MB", 1e6), ("kB", 1e3), ("KB", 1e3), ("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3),
    ("B", 1), ("", 1),
  ]

  /// `1.5GB`, `96 GiB`, `4096`; nil when it is no positive size below 1e18 bytes.
  public init?(_ text: String) {
    let unit = ByteSize.units.first { text.hasSuffix($0.0) }!
    let number = text.dropLast(unit.0.count).filter { $0 != " " }
    guard let value = Double(number), value > 0, value * unit.1 < 1e18 else { return nil }
    bytes = Int(value * unit.1)
    description = text
  }
}
