import CIngotKernels

/// SHA-256 (FIPS 180-4), with the processor's SHA instructions where it has them.
public struct SHA256: Sendable {
  private var state = ingot_sha256()
  private let accelerated: Bool
  private static let hasInstructions = ingot_sha256_accelerated()

  /// The hash of nothing so far. With `.scalar`, plain loops are used.
  public init(using isa: InstructionSet = .best) {
    accelerated = isa.checked != INGOT_SCALAR && Self.hasInstructions
    unsafe ingot_sha256_init(&state)
  }

  /// Appends bytes.
  public mutating func update(_ bytes: RawSpan) {
    unsafe bytes.withUnsafeBytes {
      unsafe ingot_sha256_update(&state, $0.baseAddress, $0.count, accelerated)
    }
  }

  /// The 32 bytes of the hash of all bytes so far. More may follow.
  public func digest() -> [UInt8] {
    unsafe [UInt8](unsafeUninitializedCapacity: 32) { digest, count in
      unsafe withUnsafePointer(to: state) { unsafe ingot_sha256_digest($0, digest.baseAddress) }
      count = 32
    }
  }

  /// The digest in lower-case hexadecimal, 64 characters.
  public func hexDigest() -> String {
    var text = ""
    for byte in digest() {
      for digit in [byte >> 4, byte & 15] {
        text.append(Character(Unicode.Scalar(digit < 10 ? 48 + digit : 87 + digit)))
      }
    }
    return text
  }

  /// The 32 bytes of the hash of `bytes`.
  public static func hash(_ bytes: RawSpan, using isa: InstructionSet = .best) -> [UInt8] {
    var hash = SHA256(using: isa)
    hash.update(bytes)
    return hash.digest()
  }
}
