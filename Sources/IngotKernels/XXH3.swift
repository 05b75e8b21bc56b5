import CIngotKernels

/// XXH3, 64 bits, seed 0, default secret: a fast checksum, not a cryptographic one.
///
/// Algorithm: xxHash's `doc/xxhash_spec.md`.
public struct XXH3: Sendable {
  private var state = ingot_xxh3()
  private let isa: ingot_isa

  /// The hash of nothing so far.
  public init(using isa: InstructionSet = .best) {
    self.isa = isa.checked
    unsafe ingot_xxh3_init(&state)
  }

  /// Appends bytes.
  public mutating func update(_ bytes: RawSpan) {
    unsafe bytes.withUnsafeBytes { unsafe ingot_xxh3_update(isa, &state, $0.baseAddress, $0.count) }
  }

  /// The hash of all bytes so far. More may follow.
  public func digest() -> UInt64 {
    unsafe withUnsafePointer(to: state) { unsafe ingot_xxh3_digest($0) }
  }

  /// The hash of `bytes`.
  public static func hash(_ bytes: RawSpan, using isa: InstructionSet = .best) -> UInt64 {
    let isa = isa.checked
    return unsafe bytes.withUnsafeBytes { unsafe ingot_xxh3_hash(isa, $0.baseAddress, $0.count) }
  }
}
