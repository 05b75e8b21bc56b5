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

  /// Formats that it loads.
  public var formats: [String] {
    switch self {
    case .llamaCpp: ["gguf"]
    case .mlx: ["mlx"]
    case .vllm: ["compressed-tensors", "gptq", "awq", "safetensors"]
    case .transformers: ["compressed-tensors", "gptq", "awq", "safetensors"]
    }
  }

  /// Whether it runs on such memory.
  public func runs(on memory: Machine.Memory) -> Bool {
    switch (self, memory) {
    case (.llamaCpp, _), (.mlx, .unified), (.vllm, .gpus), (.transformers, .gpus): true
    default: false
    }
  }

  /// Tokens that go through a layer at once while a prompt is read: llama.cpp's n_ubatch, mlx-lm's prefill step, vLLM's
  /// max_num_batched_tokens, and the whole context for transformers.
  func batch(context: Int) -> Int {
    switch self {
    case .llamaCpp: min(512, context)
    case .mlx: min(2048, context)
    case .vllm: min(8192, context)
    case .transformers: context
    }
  }

  /// Bytes of activations while a prompt is read.
  ///
  /// For each token of a batch: residual stream, queries, keys and values, what the chosen experts take in, make inside
  /// and give back, and with llama.cpp, which reserves logits for the whole batch, those; the others compute logits of the
  /// last token. Attention is fused and keeps no scores, but its mask is there: tokens of the batch × context.
  func activations(_ numbers: Hyperparameters, context: Int) -> Int {
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
    }
  }

  /// The share of a GPU's memory that it uses: vLLM's gpu_memory_utilization.
  var deviceShare: Double { self == .vllm ? 0.9 : 1 }

  /// Bytes that loading takes at its peak beside what stays: vLLM repacks one layer's experts for its kernels,
  /// transformers stacks them; the others map the file or copy it tensor by tensor.
  func loading(_ weights: Weights, devices: Int) -> Int {
    switch self {
    case .llamaCpp, .mlx: 0
    case .vllm: weights.largestLayer / max(devices, 1)
    case .transformers: weights.largestLayer
    }
  }
}
