import CIngotKernels

// Blocks of GGML's types, which GGUF files consist of. A type goes by its number there.

/// Weights of a block of a type and the bytes it takes; nil when these kernels do not know the number.
public func ggmlBlock(type: Int) -> (weights: Int, bytes: Int)? {
  var weights = 0
  var bytes = 0
  guard let number = Int32(exactly: type), unsafe ingot_ggml_shape(number, &weights, &bytes) else {
    return nil
  }
  return (weights, bytes)
}

/// Decodes blocks to F32 with the operations of llama.cpp, in their order: equal to it bit for bit.
///
/// - Precondition: `type` is known; `blocks` holds whole blocks, `out` as many weights as they do.
public func decodeGGML(
  type: Int, _ blocks: RawSpan, into out: inout MutableSpan<Float>, using isa: InstructionSet = .best
) {
  let block = known(type)
  let count = blocks.byteCount / block.bytes
  precondition(blocks.byteCount == count * block.bytes && out.count == count * block.weights, "whole blocks")
  if count == 0 { return }
  let isa = isa.checked
  unsafe blocks.withUnsafeBytes { blocks in
    unsafe out.withUnsafeMutableBufferPointer { out in
      unsafe ingot_decode_ggml(
        isa, ingot_ggml(UInt32(type)), blocks.baseAddress!, out.baseAddress!, count)
    }
  }
}

/// Quantizes rows to blocks. The result is the same on every machine and for every instruction set; scales stay
/// finite, and zeros decode to zeros.
///
/// Round to nearest takes a block's parameters from its extremes: the result of llama.cpp's reference quantizers,
/// bit for bit, save that scales beyond F16 become its greatest value instead of an infinity. Only Q4_0, Q4_1, Q5_0,
/// Q5_1, Q8_0 and MXFP4 have it.
///
/// The search minimises `Σ h (w - ŵ)²` over a block's scales, the multiples of its parts and its codes, and is
/// never worse than round to nearest.
///
/// - Parameters:
///   - weights: (rows, columns), finite.
///   - importance: (columns), finite and not negative, or nil for equal importance. Used by the search only.
///   - blocks: (rows, columns / weights of a block).
/// - Precondition: `type` is known and has the method; columns divide by the weights of a block; `blocks` has room
///   for all of them.
public func quantizeGGML(
  type: Int, _ weights: Span<Float>, importance: Span<Float>? = nil, rows: Int, method: AffineMethod,
  blocks: inout MutableRawSpan, using isa: InstructionSet = .best
) {
  let block = known(type)
  precondition(
    method == .search || ggmlRoundsToNearest(type: type), "type \(type) has no round to nearest")
  precondition(rows > 0 && weights.count % (rows * block.weights) == 0, "rows of whole blocks")
  let columns = weights.count / rows
  precondition(blocks.byteCount == weights.count / block.weights * block.bytes, "room for the blocks")
  precondition(importance == nil || importance!.count == columns, "one importance per column")
  if columns == 0 { return }
  let isa = isa.checked
  unsafe weights.withUnsafeBufferPointer { weights in
    unsafe blocks.withUnsafeMutableBytes { blocks in
      var job = unsafe ingot_ggml_job(
        type: ingot_ggml(UInt32(type)), weights: weights.baseAddress, importance: nil, rows: rows,
        columns: columns, search: method == .search,
        blocks: blocks.baseAddress?.assumingMemoryBound(to: UInt8.self))
      guard let importance else { return unsafe ingot_quantize_ggml(isa, &job) }
      unsafe importance.withUnsafeBufferPointer {
        unsafe job.importance = $0.baseAddress
        unsafe ingot_quantize_ggml(isa, &job)
      }
    }
  }
}

/// Whether a type has round to nearest.
func ggmlRoundsToNearest(type: Int) -> Bool { [2, 3, 6, 7, 8, 39].contains(type) }

private func known(_ type: Int) -> (weights: Int, bytes: Int) {
  guard let block = ggmlBlock(type: type) else { preconditionFailure("no block type \(type)") }
  return block
}
