extension Recipe {
  /// Recipes for ExLlamaV3: whole bits by kind of tensor, the head at 6, the embedding in BF16. The mix gives down projections,
  /// attention and the layers at both ends a bit more, which is half of a mixture's weights.
  static let tileTexts = [
    tiles("2.0", "2 bits", "      - encoding: exl3-2"),
    tiles(
      "2.5", "2 bits; half of the weights, down projections, attention and the outer layers, at 3",
      """
            - {parts: [down, attention], encoding: exl3-3}
            - {layers: [first 1/8, last 1/8], encoding: exl3-3}
            - encoding: exl3-2
      """),
    tiles("3.0", "3 bits", "      - encoding: exl3-3"),
    tiles("4.0", "4 bits", "      - encoding: exl3-4"),
  ]

  private static func tiles(_ name: String, _ summary: String, _ rules: String) -> String {
    """
    name: exl3-\(name)
    summary: "for ExLlamaV3, \(summary), the head at 6"
    format: exl3
    rules:
          - {parts: embedding, encoding: bf16}
          - {parts: head, encoding: exl3-6}
    \(rules)
    """
  }
}
