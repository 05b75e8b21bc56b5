/// Escaping for HTML. Output is never escaped by itself, but templates may ask for it.
extension Text {
  /// With the five characters that HTML gives a meaning written as references; markup stays as it is.
  var escaped: Text {
    if isMarkup { return self }
    var out = Text([], isMarkup: true)
    out.bytes.reserveCapacity(bytes.count)
    for byte in bytes {
      if let reference = Text.reference(for: byte) {
        out.append(reference)
      } else {
        out.bytes.append(byte)
      }
    }
    return out
  }

  fileprivate static func reference(for byte: UInt8) -> String? {
    switch byte {
    case UInt8(ascii: "&"): "&amp;"
    case UInt8(ascii: "<"): "&lt;"
    case UInt8(ascii: ">"): "&gt;"
    case UInt8(ascii: "'"): "&#39;"
    case UInt8(ascii: "\""): "&#34;"
    default: nil
    }
  }
}

extension Value {
  /// As markup: what is markup stays, anything else is printed and escaped.
  func escaped(_ run: Rendering) throws(Fault) -> Text {
    let text: Text
    if case .text(let own) = self { text = own } else { text = try printed(run) }
    if text.isMarkup { return text }
    try run.spend(bytes: text.bytes.count * 4)
    let more = text.bytes.count { Text.reference(for: $0) != nil }
    try run.make(bytes: text.bytes.count + more * 4)
    return text.escaped
  }
}
