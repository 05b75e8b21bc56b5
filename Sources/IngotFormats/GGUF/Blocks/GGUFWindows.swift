import IngotModels
import IngotSystem

/// Sliding windows of some layers, and the rotations of layers with and without one: keys of a file, and config.json.
struct GGUFWindows {
  let windows: Family.LlamaCppGraph.Windows
  let architecture: String

  init?(_ graph: Family.LlamaCppGraph) {
    guard let windows = graph.windows else { return nil }
    self.windows = windows
    architecture = graph.architecture
  }

  private func key(_ name: String) -> String { "\(architecture).\(name)" }
  private static let window = "attention.sliding_window"
  private static let pattern = "attention.sliding_window_pattern"
  private static let localBase = "rope.freq_base_swa"

  /// Whether a layer has a window where no key says which do.
  private func usually(_ layer: Int) -> Bool { (layer + 1) % windows.period != 0 }

  /// Adds which layers have a window and what they rotate by.
  ///
  /// - Returns: the rotation of layers that see everything.
  /// - Throws: FormatError for windows of several sizes and for rotations that llama.cpp's graph has not.
  func add(_ model: Model, to metadata: inout GGUFMetadata) throws(FormatError) -> RotaryEmbedding? {
    let layers = model.blueprint.layers
    func wrong(_ expected: String, _ found: String) -> FormatError {
      FormatError(
        path: model.path, expected: "\(expected), as llama.cpp's \(architecture) computes it",
        found: "\(found); no key says so: write another format")
    }
    let sizes = Set(layers.compactMap(\.mixer.window))
    guard sizes.count < 2 else { throw wrong("one size of window", "\(sizes.sorted())") }
    let flags = layers.map { $0.mixer.window != nil }
    if let size = sizes.first {
      metadata[key(GGUFWindows.window)] = .uint32(UInt32(clamping: size))
      // Older builds of llama.cpp know the usual layers only.
      if windows.hasOwnHeads || flags != layers.indices.map(usually) {
        metadata[key(GGUFWindows.pattern)] = .bools(flags)
      }
    } else {
      guard windows.usual == nil else { throw wrong("a sliding window", "none") }
    }
    func rotary(_ isLocal: Bool) throws(FormatError) -> RotaryEmbedding? {
      let all = Set(
        layers.filter { ($0.mixer.window != nil) == isLocal }
          .map { ($0.mixer as? GroupedQueryAttention)?.rotary })
      guard all.count < 2 else { throw wrong("one rotation of these layers", "\(all.count)") }
      return all.first ?? nil
    }
    let (local, global) = (try rotary(true), try rotary(false))
    guard let local else { return global }
    guard windows.hasOwnRotation else {
      guard global == nil || global == local else { throw wrong("one rotation", "another one with a window") }
      return local
    }
    guard local.scaling == .none else { throw wrong("no scaling of layers with a window", "some") }
    switch global?.scaling ?? .none {
    case .none, .linear: break
    case .proportional where windows.hasOwnHeads: break
    default: throw wrong("linear scaling of the rotation", "another one")
    }
    metadata[key(GGUFWindows.localBase)] = .float32(Float(local.theta))
    return global ?? local
  }

  /// What config.json says of them.
  func config(_ metadata: GGUFMetadata, layers: Int) throws(FormatError) -> JSONObject {
    let window = try metadata.integer(key(GGUFWindows.window), 0...1 << 40, or: windows.usual ?? 0)
    var flags = (0..<layers).map(usually)
    if let value = metadata[key(GGUFWindows.pattern)] {
      if let period = value.integer {
        guard (0...10_000).contains(period) else {
          throw metadata.error(key(GGUFWindows.pattern), "a number of layers")
        }
        flags = (0..<layers).map { period == 0 || $0 % period < period - 1 }
      } else {
        guard let values = value.integers, values.count >= layers else {
          throw metadata.error(key(GGUFWindows.pattern), "a flag for each of \(layers) layers")
        }
        flags = values.prefix(layers).map { $0 != 0 }
      }
    }
    if window == 0 { flags = flags.map { _ in false } }
    var config: JSONObject = [
      "layer_types": .array(flags.map { $0 ? "sliding_attention" : "full_attention" }),
      "sliding_window": window == 0 ? .null : JSON(window),
    ]
    if windows.hasOwnRotation {
      let base = try metadata.positiveNumber(key(GGUFWindows.localBase), or: 10_000)
      config["rope_local_base_freq"] = Int(exactly: base).map { JSON($0) } ?? JSON(base)
    }
    return config
  }
}
