import CIngotKernels

/// How the codes and parameters of a group are chosen.
public enum AffineMethod: String, CaseIterable, Sendable {
  /// Parameters from the extremes of the group, codes to nearest.
  case roundToNearest
  /// Least weighted squared error over a grid of clipped and extended ranges, each refined by least squares.
  /// Never worse than `roundToNearest`, which is one of its candidates.
  case search
}

// Quantizing `rows` rows of weights. Groups run along each row, `group` columns each, the last of a row may be
// shorter; a group may also span the row. Scales (and biases) are rounded to their storage type first and codes
// chosen for the rounded values. A scale that would underflow or overflow its type becomes its least or
// greatest finite value. A group of zeros gets scale 0 and codes that decode to 0. The result is the same on
// every machine and for every instruction set.

/// Quantizes to `scale * (u - 2^(bits-1))`.
///
/// Round to nearest takes `scale = max|w| / (2^(bits-1) - 1/2)`: the least with which every weight is within
/// half a step of a code. The search may give negative scales, which put the longer, negative side of the codes
/// where the weights need it.
///
/// - Parameters:
///   - weights: (rows, columns), finite.
///   - importance: (columns), finite and not negative, or nil for equal importance; a group of zeros counts as
///     equal. Used by the search only.
///   - storage: type of the scales: `f16`, `bf16` or `f32`.
///   - codes: (rows, columns), one per byte.
///   - scales: (rows, groups) of `storage`, little endian.
/// - Precondition: `bits` is 2…8; sizes fit each other.
public func quantizeAffineSymmetric(
  _ weights: Span<Float>, importance: Span<Float>? = nil, rows: Int = 1, bits: Int, group: Int,
  storage: FloatFormat, method: AffineMethod, codes: inout MutableSpan<UInt8>,
  scales: inout MutableRawSpan, using isa: InstructionSet = .best
) {
  var job = unsafe makeJob(INGOT_SYMMETRIC, bits: bits, group: group, storage: storage, method: method)
  unsafe run(
    &job, weights, importance, rows: rows, codes: &codes, scales: &scales, zeros: nil, biases: nil, using: isa
  )
}

/// Quantizes to `scale * (u - zero)`, zero being a code. The range is extended to contain 0.
///
/// Round to nearest takes `scale = (max - min) / (2^bits - 1)`, `zero = -min / scale` rounded.
///
/// - Parameters:
///   - zeros: (rows, groups), one per byte, each below `2^bits`.
/// - Precondition: as `quantizeAffineSymmetric`, whose other parameters these are.
public func quantizeAffineZeroPoint(
  _ weights: Span<Float>, importance: Span<Float>? = nil, rows: Int = 1, bits: Int, group: Int,
  storage: FloatFormat, method: AffineMethod, codes: inout MutableSpan<UInt8>,
  scales: inout MutableRawSpan, zeros: inout MutableSpan<UInt8>, using isa: InstructionSet = .best
) {
  var job = unsafe makeJob(INGOT_ZERO_POINT, bits: bits, group: group, storage: storage, method: method)
  let groups = rows * groupCount(of: codes.count / max(rows, 1), by: group)
  precondition(zeros.count == groups, "one zero point per group")
  unsafe zeros.withUnsafeMutableBufferPointer { zeros in
    unsafe run(
      &job, weights, importance, rows: rows, codes: &codes, scales: &scales, zeros: zeros.baseAddress,
      biases: nil, using: isa)
  }
}

/// Quantizes to `scale * u + bias`: a rounded product, then a rounded sum.
///
/// Round to nearest takes `scale = (max - min) / (2^bits - 1)`, `bias = min`.
///
/// The range `max - min` of a group has to be finite in F32, or what is decoded overflows.
///
/// - Parameters:
///   - biases: (rows, groups) of `storage`, little endian.
/// - Precondition: as `quantizeAffineSymmetric`, whose other parameters these are.
public func quantizeAffineBias(
  _ weights: Span<Float>, importance: Span<Float>? = nil, rows: Int = 1, bits: Int, group: Int,
  storage: FloatFormat, method: AffineMethod, codes: inout MutableSpan<UInt8>,
  scales: inout MutableRawSpan, biases: inout MutableRawSpan, using isa: InstructionSet = .best
) {
  var job = unsafe makeJob(INGOT_BIAS, bits: bits, group: group, storage: storage, method: method)
  precondition(biases.byteCount == scales.byteCount, "one bias per group")
  unsafe biases.withUnsafeMutableBytes { biases in
    unsafe run(
      &job, weights, importance, rows: rows, codes: &codes, scales: &scales, zeros: nil,
      biases: biases.baseAddress, using: isa)
  }
}

/// Quantizes to `scale * u + bias` with exactly the codes, scales and biases that MLX's affine mode gives.
///
/// The edge of larger magnitude is met exactly and 0 by a code where the range holds it; codes are chosen before
/// scale and bias are rounded to `storage`.
///
/// - Precondition: as `quantizeAffineBias`, whose parameters these are.
public func quantizeAffineLikeMLX(
  _ weights: Span<Float>, rows: Int = 1, bits: Int, group: Int, storage: FloatFormat,
  codes: inout MutableSpan<UInt8>, scales: inout MutableRawSpan, biases: inout MutableRawSpan,
  using isa: InstructionSet = .best
) {
  var job = unsafe makeJob(INGOT_BIAS, bits: bits, group: group, storage: storage, method: .roundToNearest)
  unsafe job.mlx = true
  precondition(biases.byteCount == scales.byteCount, "one bias per group")
  unsafe biases.withUnsafeMutableBytes { biases in
    unsafe run(
      &job, weights, nil, rows: rows, codes: &codes, scales: &scales, zeros: nil, biases: biases.baseAddress,
      using: isa)
  }
}

/// Weighted squared error `Σ h[j] * (a[j] - b[j])²`, in F64 and in a fixed order.
///
/// - Precondition: all spans have the same count.
public func squaredError(
  _ a: Span<Float>, _ b: Span<Float>, importance: Span<Float>? = nil, using isa: InstructionSet = .best
) -> Double {
  precondition(a.count == b.count, "rows differ in count")
  precondition(importance == nil || importance!.count == a.count, "one importance per column")
  let isa = isa.checked
  return unsafe a.withUnsafeBufferPointer { a in
    unsafe b.withUnsafeBufferPointer { b in
      guard let importance else {
        return unsafe ingot_squared_error(isa, a.baseAddress, b.baseAddress, nil, a.count)
      }
      return unsafe importance.withUnsafeBufferPointer {
        unsafe ingot_squared_error(isa, a.baseAddress, b.baseAddress, $0.baseAddress, a.count)
      }
    }
  }
}

private func makeJob(
  _ scheme: ingot_scheme, bits: Int, group: Int, storage: FloatFormat, method: AffineMethod
) -> ingot_quantize_job {
  precondition(2...8 ~= bits, "codes have 2 to 8 bits")
  precondition(group > 0, "a group has columns")
  precondition(storage.byteCount > 1, "scales are not stored as \(storage.rawValue)")
  var job = unsafe ingot_quantize_job()
  unsafe job.scheme = scheme
  unsafe job.bits = UInt32(bits)
  unsafe job.group = group
  unsafe job.storage = storage.native
  unsafe job.search = method == .search
  return unsafe job
}

@unsafe
private func run(
  _ job: inout ingot_quantize_job, _ weights: Span<Float>, _ importance: Span<Float>?, rows: Int,
  codes: inout MutableSpan<UInt8>, scales: inout MutableRawSpan, zeros: UnsafeMutablePointer<UInt8>?,
  biases: UnsafeMutableRawPointer?, using isa: InstructionSet
) {
  precondition(rows > 0 && weights.count % rows == 0, "rows of equal length")
  let columns = weights.count / rows
  let groups = unsafe rows * groupCount(of: columns, by: job.group)
  precondition(codes.count == weights.count, "one code per weight")
  precondition(importance == nil || importance!.count == columns, "one importance per column")
  let width = unsafe job.storage == INGOT_F32 ? 4 : 2
  precondition(scales.byteCount == groups * width, "one scale per group")
  if columns == 0 { return }
  unsafe job.rows = rows
  unsafe job.columns = columns
  unsafe job.zeros = zeros
  unsafe job.biases = biases?.assumingMemoryBound(to: UInt8.self)
  let isa = isa.checked
  unsafe weights.withUnsafeBufferPointer { weights in
    unsafe job.weights = weights.baseAddress
    unsafe codes.withUnsafeMutableBufferPointer { codes in
      unsafe job.codes = codes.baseAddress
      unsafe scales.withUnsafeMutableBytes { scales in
        unsafe job.scales = scales.baseAddress?.assumingMemoryBound(to: UInt8.self)
        guard let importance else { return unsafe ingot_quantize(isa, &job) }
        unsafe importance.withUnsafeBufferPointer {
          unsafe job.importance = $0.baseAddress
          unsafe ingot_quantize(isa, &job)
        }
      }
    }
  }
}
