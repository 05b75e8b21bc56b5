extension Recipe {
  /// Recipes for checkpoints of packed codes that GPU engines load. Embedding and head stay in BF16: engines want them
  /// so, and experts are nearly all of the bytes.
  static let packed = [
    packed(
      "w4a16", "compressed-tensors", "int4 g128 sym bf16",
      "4 bits, symmetric, groups of 128: compressed-tensors W4A16"),
    packed(
      "w4a16-g64", "compressed-tensors", "int4 g64 sym bf16",
      "W4A16 in groups of 64, which tensor parallelism over eight GPUs can cut"),
    packed(
      "w8a16", "compressed-tensors", "int8 g128 sym bf16",
      "8 bits, symmetric, groups of 128: compressed-tensors W8A16"),
    packed("mxfp4", "compressed-tensors", "mx-fp4", "MXFP4: floats of 4 bits, a power of two every 32"),
    packed(
      "nvfp4", "compressed-tensors", "nv-fp4 global",
      "NVFP4: floats of 4 bits, an E4M3 scale every 16 and one F32 a tensor"),
    packed(
      "gptq-4bit", "gptq", "int4 g128 sym f16", "4 bits, symmetric, groups of 128, as a GPTQ checkpoint"),
    packed(
      "awq-4bit", "awq", "int4 g128 zero f16", "4 bits, groups of 128 with a zero point, as an AWQ checkpoint"
    ),
  ]

  private static func packed(_ name: String, _ format: String, _ encoding: String, _ summary: String)
    -> String
  {
    """
    name: \(name)
    summary: "\(summary)"
    format: \(format)
    rules:
      - parts: [embedding, head]
        encoding: bf16
      - encoding: \(encoding)
        quantizer: mse
    """
  }
}
