extension Recipe {
  /// Recipes for MLX: what mlx_lm.convert makes with its defaults, codes and scales searched for.
  static let mlxTexts =
    [2, 3, 4, 5, 6, 8].map { bits in
      """
      name: mlx-\(bits)bit
      summary: for MLX, \(bits) bits everywhere, groups of 64
      format: mlx
      rules:
        - encoding: int\(bits) g64 bias bf16
          quantizer: mse
      """
    } + [
      """
      name: mlx-mxfp4
      summary: for MLX, MXFP4 everywhere
      format: mlx
      rules:
        - encoding: mx-fp4
          quantizer: mse
      """
    ]
}
