import Models
import Tensors

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

  /// Formats that it loads.
  public var formats: [String] {
    switch self {
    case .llamaCpp: ["gguf"]
    case .mlx: ["mlx"]
    case .vllm: ["compressed-tensors", "gptq", "awq", "safetensors"]
    case .transformers: ["compressed-tensors", "gptq", "awq", "safetensors"]
    case .ingot: ["ingot"]
    }
  }

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
  func activations(_ numbers: Hyperparameters, context: Int) -> Int {
    if self == .ingot { return Engine.forwardPass(numbers, tokens: context) }
    let tokens = batch(context: context)
    let value = self == .llamaCpp ? 4 : 2
    let attention = numbers.attention
    let heads = (2 * attention.heads + 2 * attention.keyValueHeads) * attention.headDim
    let experts = numbers.experts.active * (2 * numbers.hiddenSize + 3 * numbers.experts.width)
    var each = value * (3 * numbers.hiddenSize + heads + experts)
    if self == .llamaCpp { each += 4 * numbers.vocabulary + 2 * context }
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
  private static func forwardPass(_ numbers: Hyperparameters, tokens: Int) -> Int {
    let (attention, experts, hidden) = (numbers.attention, numbers.experts, numbers.hiddenSize)
    let (width, shared) = (attention.heads * attention.headDim, attention.keyValueHeads * attention.headDim)
    let states = tokens * (4 * hidden + experts.count + 2 * width)
    let scores = min(256, tokens) * tokens
    let layer = hidden * (2 * width + 2 * shared + experts.count)
    let visits = min(tokens, 4 * tokens * experts.active / max(experts.count, 1) + 1)
    let each =
      hidden * experts.width + visits * (3 * hidden + 2 * experts.width) + (tokens / 2) * 512
    return 4 * (states + scores + layer + min(threads, experts.count) * each)
  }

  /// Bytes of keys and values that it holds: engines that make text those of all layers, the forward pass, which takes a
  /// context through one layer after the other, those of one, in F32.
  func cacheBytes(_ numbers: Hyperparameters, context: Int, _ precision: CachePrecision) -> Int {
    guard self == .ingot else { return numbers.cacheBytes(context: context, precision) }
    return 2 * 4 * numbers.attention.keyValueHeads * numbers.attention.headDim * context
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
