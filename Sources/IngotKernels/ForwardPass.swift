import CIngotKernels

// Elementwise steps of the reference forward pass. F32 results; sums in F64.

/// `out[j] = x[j] / sqrt(mean(x²) + eps) * weight[j]`, over one row.
///
/// - Precondition: the three have the same count.
public func rmsNorm(
  _ x: Span<Float>, weight: Span<Float>, eps: Float, into out: inout MutableSpan<Float>
) {
  let count = out.count
  precondition(x.count == count && weight.count == count, "rows differ in count")
  unsafe x.withUnsafeBufferPointer { x in
    unsafe weight.withUnsafeBufferPointer { weight in
      unsafe out.withUnsafeMutableBufferPointer {
        unsafe ingot_rms_norm(x.baseAddress, weight.baseAddress, eps, $0.baseAddress, count)
      }
    }
  }
}

/// `rmsNorm` of a row in place.
public func rmsNorm(_ x: inout MutableSpan<Float>, weight: Span<Float>, eps: Float) {
  let count = x.count
  precondition(weight.count == count, "rows differ in count")
  unsafe weight.withUnsafeBufferPointer { weight in
    unsafe x.withUnsafeMutableBufferPointer {
      unsafe ingot_rms_norm($0.baseAddress, weight.baseAddress, eps, $0.baseAddress, count)
    }
  }
}

/// `gate[j] = silu(gate[j]) * up[j]`, `silu(x) = x / (1 + exp(-x))`.
///
/// - Precondition: both have the same count.
public func siluMultiply(_ gate: inout MutableSpan<Float>, up: Span<Float>) {
  let count = gate.count
  precondition(up.count == count, "rows differ in count")
  unsafe up.withUnsafeBufferPointer { up in
    unsafe gate.withUnsafeMutableBufferPointer {
      unsafe ingot_silu_multiply($0.baseAddress, up.baseAddress, count)
    }
  }
}

/// A token of the gated delta rule: S ← decay · S; S ← S + k (beta (v − Sᵀk))ᵀ; out = Sᵀq.
///
/// - Parameters:
///   - state: S, (keys, values).
///   - query, key: (keys)
///   - value, out, scratch: (values)
public func deltaRule(
  _ state: inout MutableSpan<Float>, query: Span<Float>, key: Span<Float>, value: Span<Float>, decay: Float,
  beta: Float, into out: inout MutableSpan<Float>, scratch: inout MutableSpan<Float>
) {
  let (keys, values) = (key.count, value.count)
  precondition(state.count == keys * values && query.count == keys, "state is (keys, values)")
  precondition(out.count == values && scratch.count == values, "rows differ in count")
  unsafe query.withUnsafeBufferPointer { query in
    unsafe key.withUnsafeBufferPointer { key in
      unsafe value.withUnsafeBufferPointer { value in
        unsafe state.withUnsafeMutableBufferPointer { state in
          unsafe scratch.withUnsafeMutableBufferPointer { scratch in
            unsafe out.withUnsafeMutableBufferPointer { out in
              unsafe ingot_delta_rule(
                state.baseAddress, query.baseAddress, key.baseAddress, value.baseAddress, decay, beta,
                out.baseAddress, scratch.baseAddress, keys, values)
            }
          }
        }
      }
    }
  }
}

/// A token of linear attention with decay: S ← decay · S + k vᵀ; out = Sᵀq. Shapes are those of `deltaRule`.
public func linearAttention(
  _ state: inout MutableSpan<Float>, query: Span<Float>, key: Span<Float>, value: Span<Float>, decay: Float,
  into out: inout MutableSpan<Float>
) {
  let (keys, values) = (key.count, value.count)
  precondition(state.count == keys * values && query.count == keys, "state is (keys, values)")
  precondition(out.count == values, "rows differ in count")
  unsafe query.withUnsafeBufferPointer { query in
    unsafe key.withUnsafeBufferPointer { key in
      unsafe value.withUnsafeBufferPointer { value in
        unsafe state.withUnsafeMutableBufferPointer { state in
          unsafe out.withUnsafeMutableBufferPointer { out in
            unsafe ingot_linear_attention(
              state.baseAddress, query.baseAddress, key.baseAddress, value.baseAddress, decay,
              out.baseAddress, keys, values)
          }
        }
      }
    }
  }
}

/// Softmax of one row in place: `exp(x - max) / Σ`. Entries of -infinity become 0.
///
/// - Precondition: at least one entry is finite, unless the row is empty.
public func softmaxRow(_ row: inout MutableSpan<Float>) {
  unsafe row.withUnsafeMutableBufferPointer { unsafe ingot_softmax($0.baseAddress, $0.count) }
}

/// `y[j] += s * x[j]`
///
/// - Precondition: both have the same count.
public func addScaled(_ y: inout MutableSpan<Float>, _ x: Span<Float>, _ s: Float) {
  let count = y.count
  precondition(x.count == count, "rows differ in count")
  unsafe x.withUnsafeBufferPointer { x in
    unsafe y.withUnsafeMutableBufferPointer {
      unsafe ingot_add_scaled($0.baseAddress, x.baseAddress, s, count)
    }
  }
}

/// `Σ a[j] * b[j]`, products and sum in F64 in a fixed order.
///
/// - Precondition: both have the same count.
public func dot(_ a: Span<Float>, _ b: Span<Float>) -> Double {
  precondition(a.count == b.count, "rows differ in count")
  return unsafe a.withUnsafeBufferPointer { a in
    unsafe b.withUnsafeBufferPointer { unsafe ingot_dot(a.baseAddress, $0.baseAddress, a.count) }
  }
}
