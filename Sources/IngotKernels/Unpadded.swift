/// A number type whose bytes are all value: its arrays may be looked at as bytes, and any bytes are a value.
///
/// The standard library's `Span.bytes` is unsafe since other types may have padding.
public protocol Unpadded: BitwiseCopyable {}

extension UInt8: Unpadded {}
extension UInt16: Unpadded {}
extension UInt32: Unpadded {}
extension UInt64: Unpadded {}
extension Int32: Unpadded {}
extension Int64: Unpadded {}
extension Float: Unpadded {}
extension Double: Unpadded {}

extension Span where Element: Unpadded {
  /// The elements' bytes, in the machine's order.
  public var raw: RawSpan {
    @_lifetime(copy self)
    get { unsafe bytes }
  }
}

extension MutableSpan where Element: Unpadded {
  /// The elements' bytes, in the machine's order, for writing.
  public var mutableRaw: MutableRawSpan {
    @_lifetime(&self)
    mutating get { unsafe mutableBytes }
  }
}
