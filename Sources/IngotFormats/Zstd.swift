import CZstd
import IngotSystem
import IngotTensors

/// Zstandard frames. The one place of this target that passes pointers to C.
package enum Zstd {
  /// One frame of `bytes`, its content size stated.
  package static func compress(_ bytes: Bytes, level: Int32 = 12) -> [UInt8] {
    var out = [UInt8](repeating: 0, count: ZSTD_compressBound(bytes.count))
    let size = unsafe bytes.span.withUnsafeBytes { source in
      unsafe out.withUnsafeMutableBytes { target in
        unsafe ZSTD_compress(target.baseAddress, target.count, source.baseAddress, source.count, level)
      }
    }
    precondition(ZSTD_isError(size) == 0, "zstd has room for its own bound")
    out.removeLast(out.count - size)
    return out
  }

  /// The content of one frame.
  ///
  /// - Parameter size: bytes of the content, as stated and bounded by the caller.
  /// - Returns: nil when the frame is broken or its content has another size.
  package static func decompress(_ frame: Bytes, size: Int) -> Bytes? {
    var good = false
    let bytes = Bytes(count: size) { output in
      let got = unsafe frame.span.withUnsafeBytes { source in
        unsafe output.withUnsafeMutableBytes { target in
          unsafe ZSTD_decompress(target.baseAddress, target.count, source.baseAddress, source.count)
        }
      }
      good = ZSTD_isError(got) == 0 && got == size
    }
    return good ? bytes : nil
  }
}
