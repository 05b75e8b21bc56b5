/// What a format means for plans: values that each format gives and that planning takes, so that neither needs the other.
public struct ContainerTraits: Sendable {
  /// Which tensors have one encoding.
  public enum Sharing: Sendable {
    /// Each tensor has its own.
    case none
    /// The experts of a layer are stacked: one for each projection.
    case stacks
    /// Engines fuse query, key and value, and the experts of all layers have one scheme; embedding and head stay dense.
    case fused
  }

  /// Encodings to choose among, where they fit the model.
  public struct Candidates: Sendable {
    /// Names of encodings, by rising bits.
    public let names: [String]
    /// The one of them that groups of tensors are measured at.
    public let reference: String
    /// Columns of what is quantized are a multiple of this.
    public let columns: Int

    public init(_ names: [String], reference: String, columns: Int = 1) {
      self.names = names
      self.reference = reference
      self.columns = columns
    }
  }

  /// nil where one encoding is for everything, so that there is nothing to plan.
  public let sharing: Sharing?
  /// The first whose columns fit is taken.
  public let candidates: [Candidates]
  /// Names of the engines that load it.
  public let engines: Set<String>
  /// What the name of a file ends in that holds a model; nil for a format of folders.
  public let suffix: String?

  public init(sharing: Sharing?, candidates: [Candidates] = [], engines: Set<String>, suffix: String? = nil) {
    self.sharing = sharing
    self.candidates = candidates
    self.engines = engines
    self.suffix = suffix
  }
}
