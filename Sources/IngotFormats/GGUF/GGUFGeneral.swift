import IngotModels
import IngotSystem
import IngotTensors

/// Key under which a GGUF file of ours says where it came from.
enum GGUFProvenance {
  static let key = "ingot.provenance"
}

/// The keys `general.*` and `ingot.*` of a model about to be written.
struct GGUFGeneral {
  let model: Model
  let family: GGUFFamily
  let options: WriteOptions

  /// - Parameters:
  ///   - fileType: number of llama.cpp's file type.
  ///   - provenance: the artifact's record; its length is known before its hashes are.
  func add(fileType: UInt32, provenance: JSON, to metadata: inout GGUFMetadata) {
    let (organization, name) = origin()
    metadata["general.architecture"] = .string(family.name)
    metadata["general.type"] = .string("model")
    metadata["general.name"] = .string(name)
    if let organization { metadata["general.organization"] = .string(organization) }
    metadata["general.size_label"] = .string(sizeLabel())
    if let license = ModelSummary(model).license, !license.hasPrefix("file ") {
      metadata["general.license"] = .string(license)
    }
    metadata["general.base_model.count"] = .uint32(1)
    metadata["general.base_model.0.name"] = .string(name)
    if let organization {
      metadata["general.base_model.0.organization"] = .string(organization)
      metadata["general.base_model.0.repo_url"] = .string("https://huggingface.co/\(organization)/\(name)")
    }
    metadata["general.file_type"] = .uint32(fileType)
    metadata["general.quantization_version"] = .uint32(2)
    if let tool = options.provenance["tool"]?.string { metadata["ingot.tool"] = .string(tool) }
    if let recipe = options.provenance["recipe"] {
      if let name = recipe["name"]?.string { metadata["ingot.recipe.name"] = .string(name) }
      if let text = recipe["text"]?.string { metadata["ingot.recipe.text"] = .string(text) }
    }
    // Under the names that llama-quantize gives them.
    if let importance = options.provenance["importance"] {
      let prefix = "quantize.imatrix"
      if let name = importance["name"]?.string { metadata["\(prefix).file"] = .string(name) }
      if let text = importance["datasets"]?.array?.first?.string {
        metadata["\(prefix).dataset"] = .string(text)
      }
      for (key, name) in [("entries_count", "entries"), ("chunks_count", "chunks")] {
        if let count = importance[name]?.int {
          metadata["\(prefix).\(key)"] = .uint32(UInt32(clamping: count))
        }
      }
    }
    metadata[GGUFProvenance.key] = .string(provenance.text())
  }

  /// Who published the original, where a path in the Hugging Face cache says so, and what it is called.
  private func origin() -> (organization: String?, name: String) {
    var name = model.sourceName
    if let slash = name.firstIndex(of: "/") {
      return (String(name[..<slash]), String(name[name.index(after: slash)...]))
    }
    for suffix in [".gguf", ".ingot", ".safetensors"] where name.hasSuffix(suffix) {
      name.removeLast(suffix.count)
    }
    return (nil, name)
  }

  /// Experts × values that one expert of every layer and all shared tensors have, as llama.cpp labels sizes: `256x4.9B`.
  private func sizeLabel() -> String {
    let experts = max(model.blueprint.experts.count, 1)
    var shared = 0
    var stacked = 0
    for tensor in model.tensors {
      if tensor.role.expert != nil {
        stacked += tensor.count
      } else {
        shared += tensor.count
      }
    }
    let count = shared + stacked / experts
    let unit =
      [(1_000_000_000_000, "T"), (1_000_000_000, "B"), (1_000_000, "M")].first { count >= $0.0 } ?? (
        1000, "K"
      )
    // Two digits where one would stand before the point.
    let tenths = (count * 10 + unit.0 / 2) / unit.0
    let whole = (count + unit.0 / 2) / unit.0
    return (model.blueprint.mixtures.isEmpty ? "" : "\(experts)x")
      + (whole < 10 ? "\(tenths / 10).\(tenths % 10)" : "\(whole)") + unit.1
  }
}

/// llama.cpp's name for a mix of types, a number that its tools show.
enum GGUFFileType {
  /// The mix in which a type is the one that most weights have. Q3_K to Q5_K have a small and a medium one.
  private static let numbers: [String: UInt32] = [
    "F32": 0, "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q8_0": 7, "Q5_0": 8, "Q5_1": 9, "Q2_K": 10, "Q3_K": 12,
    "Q4_K": 15, "Q5_K": 17, "Q6_K": 18, "IQ4_NL": 25, "IQ4_XS": 30, "BF16": 32, "MXFP4": 38,
  ]
  private static let small: [String: UInt32] = ["Q3_K": 11, "Q4_K": 14, "Q5_K": 16]
  /// The type by which a medium mix raises some of its experts' down projections.
  private static let raised = ["Q3_K": "Q4_K", "Q4_K": "Q6_K", "Q5_K": "Q6_K"]

  /// - Parameter tensors: types and bytes of the matrices.
  static func number(_ tensors: [(type: GGUFType, kind: TensorKind, bytes: Int)]) -> UInt32 {
    var bytes: [String: Int] = [:]
    for tensor in tensors { bytes[tensor.type.name, default: 0] += tensor.bytes }
    // Among equals the first name, so that no order of a dictionary decides over bytes in a file.
    guard let most = bytes.max(by: { ($0.value, $1.key) < ($1.value, $0.key) })?.key else { return 0 }
    let medium = tensors.contains { $0.kind == Projections.gatedMLP.lowering && $0.type.name == raised[most] }
    return medium ? numbers[most] ?? 0 : small[most] ?? numbers[most] ?? 0
  }
}
