extension Recipe {
  /// Recipes for MLX: what mlx_lm.convert makes with its defaults, codes and scales searched for.
  static let mlxTexts = [
    """
    name: mlx-4bit
    summary: for MLX, 4 bits everywhere, groups of 64
    format: mlx
    rules:
      - encoding: int4 g64 bias bf16
        quantizer: mse
    """,
    """
    name: mlx-8bit
    summary: for MLX, 8 bits everywhere, groups of 64
    format: mlx
    rules:
      - encoding: int8 g64 bias bf16
        quantizer: mse
    """,
    """
    name: mlx-mxfp4
    summary: for MLX, MXFP4 everywhere
    format: mlx
    rules:
      - encoding: mx-fp4
        quantizer: mse
    """,
  ]
}
