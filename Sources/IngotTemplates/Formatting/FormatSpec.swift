/// What stands behind the colon in `{:>10.3f}`.
struct FormatSpec {
  var fill: Unicode.Scalar?
  var align: UInt8?
  var sign = UInt8(ascii: "-")
  var isAlternate = false
  var width: Int?
  var grouping: UInt8?
  var precision: Int?
  var type: UInt8?
  /// Whether numbers are filled up between sign and digits.
  var fillsNumbers = false
  /// Whether minus zero is written as zero.
  var coercesZero = false

  init(_ text: Text) throws(Fault) {
    let scalars = text.scalars
    var at = 0
    func byte(_ index: Int) -> UInt8? {
      index < scalars.count && scalars[index].isASCII ? UInt8(scalars[index].value) : nil
    }
    func isAlignment(_ byte: UInt8?) -> Bool { byte.map { Text("<>=^").bytes.contains($0) } ?? false }
    if scalars.count > 1, isAlignment(byte(1)) {
      fill = scalars[0]
      align = byte(1)
      at = 2
    } else if isAlignment(byte(0)) {
      align = byte(0)
      at = 1
    }
    if let sign = byte(at), Text("+- ").bytes.contains(sign) {
      self.sign = sign
      at += 1
    }
    if byte(at) == UInt8(ascii: "z") {
      coercesZero = true
      at += 1
    }
    if byte(at) == UInt8(ascii: "#") {
      isAlternate = true
      at += 1
    }
    if fill == nil && byte(at) == UInt8(ascii: "0") {
      fill = "0"
      fillsNumbers = align == nil
      at += 1
    }
    width = try FormatSpec.number(scalars, &at)
    if let mark = byte(at), mark == UInt8(ascii: ",") || mark == UInt8(ascii: "_") {
      grouping = mark
      at += 1
    }
    if byte(at) == UInt8(ascii: ".") {
      at += 1
      guard let digits = try FormatSpec.number(scalars, &at) else { throw FormatSpec.wrong(text) }
      precision = digits
    }
    if let letter = byte(at), at == scalars.count - 1 {
      type = letter
      at += 1
    }
    guard at == scalars.count else { throw FormatSpec.wrong(text) }
  }

  static func wrong(_ text: Text) -> Fault {
    Fault(expected: "a format specification", found: "'\(text.string)'")
  }

  private static func number(_ scalars: [Unicode.Scalar], _ at: inout Int) throws(Fault) -> Int? {
    var value: Int?
    while at < scalars.count, let digit = scalars[at].decimalValue {
      value = (value ?? 0) * 10 + digit
      guard value! < 1 << 40 else { throw Fault(expected: "a width below 2^40", found: "a larger one") }
      at += 1
    }
    return value
  }

  /// `sign`, `prefix` and `digits` filled up to the width, thousands marked.
  func laidOut(sign: String, prefix: String = "", digits: String, every: Int = 3, _ run: Rendering)
    throws(Fault) -> Text
  {
    let align = align ?? UInt8(ascii: fillsNumbers ? "=" : ">")
    let head = sign + prefix
    var body = digits
    // Of a float, the digits before the point; infinity has none.
    let whole = every == 3 ? digits.utf8.prefix { $0 >= 0x30 && $0 <= 0x39 }.count : digits.utf8.count
    if let grouping, whole > 0 {
      // Filling with zeros marks these too.
      let fillsWithin = fill == "0" && align == UInt8(ascii: "=")
      let least = fillsWithin ? (width ?? 0) - head.utf8.count : 0
      try run.make(bytes: max(least, 0))
      body = FormatSpec.grouped(
        digits.prefix(whole), digits.dropFirst(whole), every, String(Unicode.Scalar(grouping)), least: least)
    }
    return try filled(Text(head), Text(body), align, run)
  }

  func filled(_ head: Text, _ body: Text, _ align: UInt8, _ run: Rendering) throws(Fault) -> Text {
    let missing = max((width ?? 0) - head.count - body.count, 0)
    var whole = head
    if align == UInt8(ascii: "=") {
      whole.append(try body.padded(left: missing, right: 0, Text(fill ?? " "), run))
      return whole
    }
    whole.append(body)
    let left = align == UInt8(ascii: ">") ? missing : align == UInt8(ascii: "^") ? missing / 2 : 0
    return try whole.padded(left: left, right: missing - left, Text(fill ?? " "), run)
  }

  /// `whole` in groups and `rest` behind, with zeros in front until they are `least` long.
  private static func grouped(
    _ whole: Substring, _ rest: Substring, _ every: Int, _ mark: String, least: Int
  ) -> String {
    // From the right.
    var text: [UInt8] = []
    var since = 0
    func add(_ digit: UInt8) {
      if since == every {
        text.append(contentsOf: mark.utf8)
        since = 0
      }
      text.append(digit)
      since += 1
    }
    for digit in whole.utf8.reversed() { add(digit) }
    while text.count + rest.utf8.count < least { add(UInt8(ascii: "0")) }
    return String(decoding: text.reversed(), as: UTF8.self) + rest
  }
}
