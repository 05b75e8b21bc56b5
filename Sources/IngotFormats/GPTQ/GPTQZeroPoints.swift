import IngotModels
import IngotSystem
import IngotTensors

/// What the stored zero points of a GPTQ checkpoint say about its layout.
///
/// The first layout stores zero points less 1, the second as they are. Some tools write one and name the other, which
/// moves every weight by a step. In a symmetric checkpoint all zero points are the middle of the codes, so the stored
/// ones tell.
struct GPTQZeroPoints {
  private let files: SafeTensorsFiles
  private let labelled: ColumnPacked.Layout
  /// The first stored zero point of each module, and a tensor that has it.
  private var stored: [Int: String] = [:]
  private var middle = 0
  private static let remoteLimit = 16

  /// - Parameters:
  ///   - bits: width of the codes; nil where it differs by module: then nothing is looked at.
  ///   - layout: what the config says.
  init(_ files: SafeTensorsFiles, bits: Int?, _ layout: ColumnPacked.Layout) {
    self.files = files
    labelled = layout
    guard let bits else { return }
    middle = 1 << (bits - 1)
    // Those of another type are a fault of their module.
    var tensors = files.stored.filter { name, tensor in
      name.hasSuffix(".qzeros") && tensor.dtype == .i32 && tensor.shape.count == 2 && tensor.bytes.count >= 4
    }
    // Of files on another machine each is a request: some say enough.
    if tensors.count > GPTQZeroPoints.remoteLimit, tensors.contains(where: { $0.value.bytes.isRemote }) {
      let kept = Set(tensors.keys.sorted().prefix(GPTQZeroPoints.remoteLimit))
      tensors = tensors.filter { kept.contains($0.key) }
    }
    for (name, tensor) in tensors {
      stored.merge([Int(tensor.bytes[0]) & (1 << bits - 1): name]) { min($0, $1) }
    }
  }

  /// The layout to read by: the config's, or the other one where a symmetric checkpoint's zero points are of that.
  /// - Throws: FormatError naming both keys of the config where they contradict the zero points.
  func layout(isSymmetric: Bool) throws(FormatError) -> ColumnPacked.Layout {
    let (own, other) = labelled == .gptq ? (middle - 1, middle) : (middle, middle - 1)
    let values = Set(stored.keys)
    if values.isEmpty || values == [own] { return labelled }
    if isSymmetric {
      if values == [other] { return labelled == .gptq ? .gptqV2 : .gptq }
      throw files.config.error(
        "quantization_config", "\(own) as every stored zero point, by sym: true and checkpoint_format",
        found: stored.filter { $0.key != own }.min { $0.key < $1.key }
          .map { "others, such as \($0.key) in '\(printable($0.value, limit: 200))'" }!)
    }
    if values == [other] {
      throw files.config.error(
        "quantization_config",
        "sym: true, or another checkpoint_format: \(other) is every module's stored zero point, which is the middle of the "
          + "codes by the other format only", found: "sym: false")
    }
    return labelled
  }
}
