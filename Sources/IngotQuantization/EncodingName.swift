import IngotKernels
import IngotSystem
import IngotTensors

extension Encoding {
  /// The encoding of a name as `description` writes it: `bf16`, `int4 g64 zero f16`, `int8 row sym f32`, `q4_k`, `mx-fp4`,
  /// `trellis-2.5`, `exl3-3`.
  /// Offset and scale may be left out: `int4 g64` means `int4 g64 zero f16`.
  ///
  /// - Returns: nil when the text names no encoding that a recipe can ask for.
  public init?(name text: String) {
    let words = text.split(whereSeparator: { $0 == " " || $0 == ":" }).map(String.init)
    guard let first = words.first, words.count <= 4 else { return nil }
    if words.count == 1,
      let type = [DType.f32, .f16, .bf16].first(where: { $0.rawValue.lowercased() == first })
    {
      self = .dense(type)
      return
    }
    if let scheme = MicroScaled(name: words.joined(separator: " ")) {
      self = .microScaled(scheme)
      return
    }
    if let scheme = Trellis(name: words.joined(separator: " ")) {
      self = .trellis(scheme)
      return
    }
    if let scheme = Tiles(name: words.joined(separator: " ")), scheme.shape.codebook == .mul1 {
      self = .tiles(scheme)
      return
    }
    if words.count == 1, let type = GGMLType(name: first) {
      self = .ggml(type)
      return
    }
    guard first.hasPrefix("int"), let bits = Int(first.dropFirst(3)), words.count >= 2 else { return nil }
    var group: Int?
    if words[1] != "row" {
      guard words[1].hasPrefix("g"), let width = Int(words[1].dropFirst()) else { return nil }
      group = width
    }
    var offset = Affine.Offset.zeroPoint
    var scale = DType.f16
    for word in words.dropFirst(2) {
      if let value = Affine.Offset(rawValue: word) {
        offset = value
      } else if let type = [DType.f32, .f16, .bf16].first(where: { $0.rawValue.lowercased() == word }) {
        scale = type
      } else {
        return nil
      }
    }
    guard let scheme = Affine(bits: bits, group: group, offset: offset, scale: scale) else { return nil }
    self = .affine(scheme)
  }
}
