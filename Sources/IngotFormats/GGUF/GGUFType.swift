import IngotSystem
import IngotTensors

/// A tensor type of ggml as files number it: values of a block, bytes of a block, and our encoding of the same
/// bytes where there is one.
///
/// Source: ggml's `enum ggml_type` and its block structures.
struct GGUFType: Sendable, Equatable {
  var number: UInt32
  var name: String
  /// Values a block, along the first dimension.
  var values: Int
  /// Bytes a block.
  var bytes: Int

  private init(_ number: UInt32, _ name: String, _ values: Int, _ bytes: Int) {
    self.number = number
    self.name = name
    self.values = values
    self.bytes = bytes
  }

  /// Every type that files may hold today.
  static let all: [GGUFType] = [
    .init(0, "F32", 1, 4), .init(1, "F16", 1, 2), .init(2, "Q4_0", 32, 18), .init(3, "Q4_1", 32, 20),
    .init(6, "Q5_0", 32, 22), .init(7, "Q5_1", 32, 24), .init(8, "Q8_0", 32, 34), .init(9, "Q8_1", 32, 36),
    .init(10, "Q2_K", 256, 84), .init(11, "Q3_K", 256, 110), .init(12, "Q4_K", 256, 144),
    .init(13, "Q5_K", 256, 176), .init(14, "Q6_K", 256, 210), .init(15, "Q8_K", 256, 292),
    .init(16, "IQ2_XXS", 256, 66), .init(17, "IQ2_XS", 256, 74), .init(18, "IQ3_XXS", 256, 98),
    .init(19, "IQ1_S", 256, 50), .init(20, "IQ4_NL", 32, 18), .init(21, "IQ3_S", 256, 110),
    .init(22, "IQ2_S", 256, 82), .init(23, "IQ4_XS", 256, 136), .init(24, "I8", 1, 1), .init(25, "I16", 1, 2),
    .init(26, "I32", 1, 4), .init(27, "I64", 1, 8), .init(28, "F64", 1, 8), .init(29, "IQ1_M", 256, 56),
    .init(30, "BF16", 1, 2), .init(34, "TQ1_0", 256, 54), .init(35, "TQ2_0", 256, 66),
    .init(39, "MXFP4", 32, 17), .init(40, "NVFP4", 64, 36), .init(41, "Q1_0", 128, 18),
    .init(42, "Q2_0", 64, 18),
  ]

  /// A type that nobody here knows: how many bytes its values take is told by the tensor that follows.
  static func unknown(_ number: UInt32) -> GGUFType { .init(number, "type \(number)", 1, 0) }

  private static let byNumber = Dictionary(uniqueKeysWithValues: all.map { ($0.number, $0) })
  private static let byName = Dictionary(uniqueKeysWithValues: all.map { ($0.name, $0) })

  static func numbered(_ number: UInt32) -> GGUFType? { byNumber[number] }
  static func named(_ name: String) -> GGUFType? { byName[name] }

  /// Dense types, whose names ggml and SafeTensors share.
  private static let dense: [DType] = [.f32, .f16, .bf16, .f64, .i8, .i16, .i32, .i64]

  /// The encoding of the same bytes; nil when we have none.
  var encoding: Encoding? {
    if let type = UInt8(exactly: number).flatMap(GGMLType.init) { return .ggml(type) }
    return GGUFType.dense.first { $0.rawValue == name }.map { .dense($0) }
  }

  /// The type that holds an encoding's bytes as they are; nil when ggml has none.
  init?(_ encoding: Encoding) {
    var known: GGUFType?
    switch encoding {
    case .dense(let type) where GGUFType.dense.contains(type): known = GGUFType.named(type.rawValue)
    case .ggml(let type): known = GGUFType.numbered(UInt32(type.rawValue))
    default: break
    }
    guard let known else { return nil }
    self = known
  }
}
