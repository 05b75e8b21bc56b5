import IngotModels
import IngotSystem
import IngotTensors

/// A program that runs artifacts, and what memory it takes beside the weights and the cache.
///
/// The formulas are of what each is known to allocate, not measurements of your machine: a fit with less to spare than
/// a tenth of the buffers is a hope.
public enum Engine: String, CaseIterable, Sendable {
  case llamaCpp = "llama.cpp"
  case mlx = "MLX"
  case vllm = "vLLM"
  case transformers
  /// The forward pass of this project, which scores texts: its weights are mapped, and it makes no text.
  case ingot

  /// Whether it loads models in a format.
  public func loads(_ container: ContainerTraits) -> Bool { container.engines.contains(rawValue) }

  /// Whether it runs on such memory.
  public func runs(on memory: Machine.Memory) -> Bool {
    switch (self, memory) {
    case (.llamaCpp, _), (.mlx, .unified), (.vllm, .gpus), (.transformers, .gpus), (.ingot, .unified),
      (.ingot, .main):
      true
    default: false
    }
  }

  /// Tokens that go through a layer at once while a prompt is read: llama.cpp's n_ubatch, mlx-lm's prefill step, vLLM's
  /// max_num_batched_tokens, and the whole context for transformers and for us.
  func batch(context: Int) -> Int {
    switch self {
    case .llamaCpp: min(512, context)
    case .mlx: min(2048, context)
    case .vllm: min(8192, context)
    case .transformers, .ingot: context
    }
  }

  /// Bytes of activations while a prompt is read.
  ///
  /// For each token of a batch: residual stream, queries, keys and values, what the chosen experts take in, make inside
  /// and give back, and with llama.cpp, which reserves logits for the whole batch, those; the others compute logits of the
  /// last token. Attention is fused and keeps no scores, but its mask is there: tokens of the batch × context.
  func activations(_ blueprint: Blueprint, context: Int) -> Int {
    if self == .ingot { return Engine.forwardPass(blueprint, tokens: context) }
    let tokens = batch(context: context)
    let value = self == .llamaCpp ? 4 : 2
    var each = value * (3 * blueprint.hiddenSize + blueprint.mostActivations)
    if self == .llamaCpp { each += 4 * blueprint.vocabulary + 2 * context }
    return tokens * each
  }

  /// What a GPU holds that belongs to no tensor: the driver's context, libraries' workspaces, captured graphs.
  var perDevice: Int {
    switch self {
    case .llamaCpp: 750_000_000
    case .mlx: 500_000_000
    case .vllm: 2_500_000_000
    case .transformers: 1_500_000_000
    case .ingot: 100_000_000
    }
  }

  /// Threads of the forward pass, each with an expert of its own; more have more.
  private static let threads = 16

  /// Bytes in F32 of our forward pass of one context, all tokens at once, beside its keys and values.
  ///
  /// Of every token: state, its copy, what experts get and their sum; scores of the router; queries and what attention
  /// makes of them. Scores of 256 queries. A layer's attention and its router, decoded. For each thread one projection of an
  /// expert, its tokens' inputs, both inner products and, of twice as many, outputs: experts have up to four times their
  /// share of tokens. Logits of half the tokens for 512 entries.
  private static func forwardPass(_ blueprint: Blueprint, tokens: Int) -> Int {
    let hidden = blueprint.hiddenSize
    func layer(_ layer: Blueprint.Layer) -> Int {
      let (block, mixer) = (layer.feedForward, layer.mixer)
      let routed = block.isMixture ? block.count : 0
      let output = layer.mixerOutput.columns
      let states = tokens * (4 * hidden + routed + 2 * output)
      let scores = min(256, tokens) * tokens
      let weights = mixer.tensors.reduce(hidden * routed) { $0 + ($1.isLinear ? $1.parameters : 0) }
      let width = block.intermediateSize
      guard block.isMixture else {
        return states + scores + max(weights, 3 * hidden * width) + threads * 512 * (2 * hidden + 2 * width)
      }
      let routedTokens = min(tokens, 4 * tokens * block.perToken / max(block.count, 1) + 1)
      let each = hidden * width + routedTokens * (3 * hidden + 2 * width) + (tokens / 2) * 512
      return states + scores + weights + min(threads, block.count) * each
    }
    return 4 * (blueprint.layers.map(layer).max() ?? 0)
  }

  /// Bytes of keys and values that it holds: engines that make text those of all layers, the forward pass, which takes a
  /// context through one layer after the other, those of one, in F32.
  func cacheBytes(_ blueprint: Blueprint, context: Int, _ precision: CachePrecision) -> Int {
    guard self == .ingot else { return blueprint.cacheBytes(context: context, precision) }
    return 4 * (blueprint.layers.map(\.mixer.cachedValuesPerToken).max() ?? 0) * context
  }

  /// The share of a GPU's memory that it uses: vLLM's gpu_memory_utilization.
  var deviceShare: Double { self == .vllm ? 0.9 : 1 }

  /// Bytes that loading takes at its peak beside what stays: vLLM repacks one layer's experts for its kernels,
  /// transformers stacks them; the others map the file or copy it tensor by tensor.
  func loading(_ weights: Weights, devices: Int) -> Int {
    switch self {
    case .llamaCpp, .mlx, .ingot: 0
    case .vllm: weights.largestLayer / max(devices, 1)
    case .transformers: weights.largestLayer
    }
  }
}
