/// What a tensor is in every layer and expert: `query`, `router`, `down`. Kinds are open: each kind of block names its own,
/// and a file may hold kinds that this build has no block for.
///
/// Raw values are stable: they are written to files.
public struct TensorKind: RawRepresentable, Hashable, Sendable {
  public let rawValue: String

  public init(rawValue: String) { self.rawValue = rawValue }

  /// Bytes of the longest name.
  public static let longest = 63

  /// Whether a text can be a kind: 1 to 63 lower-case letters, digits and underscores, a letter first.
  public static func isValid(_ text: String) -> Bool {
    (1...longest).contains(text.utf8.count) && text.utf8.first.map { (0x61...0x7A).contains($0) } ?? false
      && text.utf8.allSatisfy { (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) || $0 == 0x5F }
  }

  /// A tensor of the family that the forward pass does not use (multi-token prediction).
  public static let auxiliary = TensorKind(rawValue: "auxiliary")
  /// A number that engines quantize activations or the key-value cache with; no weight depends on it.
  public static let activationScale = TensorKind(rawValue: "activation_scale")
  /// A tensor that no block of the family has, kept because the user asked for it, or of a family without blocks.
  public static let unknown = TensorKind(rawValue: "unknown")
}
