import IngotFormats
import IngotHub
import IngotModels
import IngotSystem
import IngotTensors

/// A model as its files have it. Weights stay where they are until they are asked for.
///
///     let model = try Checkpoint("Qwen/Qwen3-0.6B")
///     print(model.weightCount, model.bitsPerWeight)
public struct Checkpoint: Sendable {
  private let model: Model

  /// Reads the headers of a model.
  ///
  /// - Parameter name: a folder, a `.safetensors`, `.gguf` or `.ingot` file, or the name of a repository on the Hugging Face Hub,
  ///   `owner/name@revision`.
  /// - Throws: IngotError for files that are missing, damaged or of a kind that is not known.
  public init(_ name: String) throws(IngotError) {
    model = try translatingNow { try Model.read(located(name)) }
  }

  /// Where it was read from.
  public var path: String { model.path }
  /// The container: `safetensors`, `gguf`, `ingot`, `mlx`, and others.
  public var format: String { model.format }
  /// The architecture, such as `qwen3_moe`.
  public var family: String { model.family.name }
  /// Whether its forward pass is known, so that it can be calibrated, verified and run.
  public var canRun: Bool { model.blueprint.isKnown }
  /// Weights of all tensors.
  public var weightCount: Int { model.parameters }
  /// Bytes of all tensors as they are stored.
  public var byteCount: Int { model.bytes }
  /// Bits that a weight takes, scales included.
  public var bitsPerWeight: Double { 8 * Double(byteCount) / Double(max(weightCount, 1)) }
  /// Layers of a model that can run; else 0, as are the next four.
  public var layerCount: Int { model.blueprint.layers.count }
  /// Experts of the layer that has most.
  public var expertCount: Int { model.blueprint.layers.map(\.feedForward.count).max() ?? 0 }
  /// Width of the residual stream.
  public var hiddenSize: Int { model.blueprint.hiddenSize }
  /// Tokens of the vocabulary.
  public var vocabularySize: Int { model.blueprint.vocabulary }
  /// Tokens that the model was made for.
  public var contextLength: Int { model.blueprint.contextLength }
  /// All tensors, in the order of the files.
  public var tensors: [TensorInfo] { model.tensors.map(TensorInfo.init) }

  /// A tensor's values in F32, row by row.
  ///
  /// - Parameters:
  ///   - name: as `tensors` has it.
  ///   - rows: of a tensor's first dimensions taken as one; nil for all.
  /// - Throws: IngotError for an unknown name, rows that it does not have, and bytes that cannot be read.
  public func values(of name: String, rows: Range<Int>? = nil) throws(IngotError) -> [Float] {
    try translatingNow {
      guard let tensor = model.tensors.first(where: { $0.name == name }) else {
        throw FormatError(path: model.path, tensor: name, expected: "a tensor of this name", found: "none")
      }
      let all = 0..<tensor.rows
      guard let rows else { return try tensor.floats() }
      guard rows.lowerBound >= 0, rows.upperBound <= all.upperBound else {
        throw tensor.error("rows of 0 to \(all.upperBound)", found: "\(rows)")
      }
      return try tensor.floats(rows: rows)
    }
  }
}

/// A tensor, without its values.
public struct TensorInfo: Sendable {
  /// Its name in the file.
  public let name: String
  /// What it is for, such as `down`, `router` or `embedding`.
  public let kind: String
  /// Its layer; nil for none.
  public let layer: Int?
  /// Its expert; nil for none.
  public let expert: Int?
  /// Outermost dimension first; a matrix is (outputs, inputs).
  public let shape: [Int]
  /// How its values are stored, such as `bf16`, `int4 g64 zero f16` or `q4_k`.
  public let encoding: String
  /// Bytes that it takes, scales included.
  public let byteCount: Int

  init(_ tensor: Tensor) {
    (name, kind, layer, expert) = (
      tensor.name, tensor.role.kind.rawValue, tensor.role.layer, tensor.role.expert
    )
    (shape, encoding, byteCount) = (tensor.shape, tensor.encoding.description, tensor.bytes)
  }
}

/// Where the model that a name means is read from.
func located(_ name: String) throws(FormatError) -> String {
  Hub.isName(name) ? try Hub.locate(name) : name
}
