extension Recipe {
  /// Trellis codes for `.ingot`, one rate for all linear layers; embedding and head, which hold few of a large model's weights and have
  /// errors that nothing behind them makes up for, at 6 bits.
  static let trellisTexts = ["2", "2.5", "3", "3.5", "4"].map { bits in
    """
    name: trellis-\(bits)
    summary: \(bits) bits by trellis codes, embedding and head at 6
    rules:
      - {parts: [embedding, head], encoding: int6 g64 zero f16, quantizer: mse}
      - {encoding: trellis-\(bits), quantizer: mse}
    """
  }
}
