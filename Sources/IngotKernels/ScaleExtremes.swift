import CIngotKernels

/// Least and greatest magnitude of stored floats, as their bits without sign, which are in the order of the values.
///
/// - Parameters:
///   - bytes: where they lie.
///   - width: bytes of one, 1 or 2.
///   - offset: where the first is, in bytes.
///   - stride: bytes from one to the next; with a width of 1 they are neighbours.
/// - Returns: nil where there are none.
/// - Precondition: all lie within `bytes`.
public func scaleExtremes(_ bytes: RawSpan, width: Int, offset: Int = 0, stride: Int, count: Int)
  -> (least: UInt16, greatest: UInt16)?
{
  guard count > 0 else { return nil }
  precondition(width == 1 ? stride == 1 : width == 2 && stride >= 2, "floats of one or two bytes")
  precondition(offset >= 0 && offset + (count - 1) * stride + width <= bytes.byteCount, "size of the scales")
  var (least, greatest) = (UInt16.max, UInt16(0))
  unsafe bytes.withUnsafeBytes { bytes in
    unsafe ingot_scale_extremes(
      UInt32(width), bytes.baseAddress! + offset, count, stride, &least, &greatest)
  }
  return (least, greatest)
}
