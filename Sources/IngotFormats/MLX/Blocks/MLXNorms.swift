import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

/// Norms that multiply by 1 + w: some of mlx-lm's classes keep the sum.
enum MLXNorms {
  /// Norms of the residual stream and of queries and keys; the one inside gated DeltaNet multiplies by w.
  private static let centered: Set<TensorKind> = [
    .attentionNorm, .feedForwardNorm, .finalNorm, .queryNorm, .keyNorm,
  ]

  static func isSum(_ role: Role, _ family: Family) -> Bool {
    family.mlx?.addsOneToNorms == true && centered.contains(role.kind)
  }

  /// Whether sums are kept in F32: where all matrices are, so that no activation gets wider by it.
  static func keepsF32(_ model: Model) -> Bool {
    model.tensors.allSatisfy { !model.blueprint.isLinear($0.role) || $0.encoding == .dense(.f32) }
  }

  /// Names of norms whose sums are rounded.
  static func rounded(_ model: Model) -> [String] {
    guard !keepsF32(model) else { return [] }
    return model.tensors.filter { isSum($0.role, model.family) && $0.encoding != .dense(.f32) }.map(\.name)
  }

  /// 1 + w in the tensor's own type, rounded to the nearest, as mlx-lm adds it; in F32 where all matrices are, since nothing is
  /// then to be rounded.
  static func added(_ tensor: Tensor, keepsF32: Bool) -> Tensor {
    guard case .dense(let type) = tensor.encoding else { return tensor }
    let target = keepsF32 ? DType.f32 : type
    return tensor.mapped(to: .dense(target)) { rows, planes in
      [moved(planes, from: type, by: 1, to: target, count: rows.count * tensor.columns)]
    }
  }

  /// w of a stored 1 + w, in F32, which holds it.
  static func subtracted(_ tensor: Tensor) -> Tensor {
    guard case .dense(let type) = tensor.encoding else { return tensor }
    return tensor.mapped(to: .dense(.f32)) { rows, planes in
      [moved(planes, from: type, by: -1, to: .f32, count: rows.count * tensor.columns)]
    }
  }

  private static func moved(
    _ planes: [Bytes], from type: DType, by step: Float, to target: DType, count: Int
  ) -> Bytes {
    var values = [Float](repeating: 0, count: count)
    var span = values.mutableSpan
    Encoding.dense(type).decode(planes, rows: 1, columns: count, into: &span)
    for index in values.indices { values[index] += step }
    return Bytes(count: count * target.bits / 8) { encode(target.floatFormat!, values.span, into: &$0) }
  }
}
