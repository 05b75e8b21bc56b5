/// Digits in groups of three: `228,689,764,864`.
public func grouped(_ value: Int) -> String {
  var out = ""
  let digits = String(value.magnitude)
  for (index, digit) in digits.enumerated() {
    if index > 0 && (digits.count - index) % 3 == 0 { out.append(",") }
    out.append(digit)
  }
  return value < 0 ? "-" + out : out
}

/// Bytes in decimal units with three digits: `138 GB`.
public func decimal(_ bytes: Int) -> String {
  var value = Double(bytes)
  for unit in ["B", "kB", "MB", "GB", "TB"] {
    if value < 999.5 || unit == "TB" {
      return (value < 99.95 && unit != "B" ? fixed(value, value < 9.995 ? 2 : 1) : fixed(value, 0)) + " "
        + unit
    }
    value /= 1000
  }
  return "\(bytes) B"
}

/// A number with a fixed count of decimals.
public func fixed(_ value: Double, _ decimals: Int) -> String {
  guard value.isFinite, abs(value) < 1e15 else { return "\(value)" }
  var scale = 1.0
  for _ in 0..<decimals { scale *= 10 }
  let rounded = Int((abs(value) * scale).rounded())
  let sign = value < 0 && rounded != 0 ? "-" : ""
  guard decimals > 0 else { return sign + String(rounded) }
  let fraction = String(rounded % Int(scale))
  return sign + "\(rounded / Int(scale))." + String(repeating: "0", count: decimals - fraction.count)
    + fraction
}

/// A span of time: `0.4 s`, `7 s`, `3 min 20 s`, `2 h 5 min`.
public func duration(_ seconds: Double) -> String {
  guard seconds.isFinite, seconds < 1e7 else { return "long" }
  if seconds < 9.95 { return "\(fixed(seconds, 1)) s" }
  let whole = Int(seconds.rounded())
  if whole < 60 { return "\(whole) s" }
  if whole < 3600 { return "\(whole / 60) min \(whole % 60) s" }
  return "\(whole / 3600) h \(whole % 3600 / 60) min"
}

/// A number with `digits` significant digits: `0.0123`, `4.56e-07`, `0`.
public func significant(_ value: Double, _ digits: Int = 4) -> String {
  guard value != 0, value.isFinite else { return value == 0 ? "0" : "\(value)" }
  var exponent = 0
  var mantissa = abs(value)
  while mantissa >= 10 {
    mantissa /= 10
    exponent += 1
  }
  while mantissa < 1 {
    mantissa *= 10
    exponent -= 1
  }
  if exponent >= -4 && exponent < 9 { return fixed(value, max(digits - 1 - exponent, 0)) }
  return (value < 0 ? "-" : "") + fixed(mantissa, digits - 1) + "e\(exponent)"
}
