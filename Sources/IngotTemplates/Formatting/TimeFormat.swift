/// `strftime`, in the names of the C locale.
extension TemplateTime {
  private static let months = [
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
    "November", "December",
  ]
  private static let weekdays = [
    "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday",
  ]

  /// How a conversion is changed: `%-d`, `%_d`, `%05d`, `%^a`.
  private struct Change {
    var pad: Character?
    var isUpper = false
    var swapsCase = false
    var width: Int?
  }

  func formatted(_ format: Text, _ run: Rendering) throws(Fault) -> Text {
    try run.spend(slow: format.bytes.count)
    var out = Text()
    var at = 0
    while at < format.bytes.count {
      let scalar = format.next(&at)
      guard scalar == "%" else {
        out.append(scalar)
        continue
      }
      let start = at
      var change = Change()
      while at < format.bytes.count, let flag = TemplateTime.flag(format.bytes[at]) {
        flag(&change)
        at += 1
      }
      while at < format.bytes.count, format.bytes[at] >= 0x30, format.bytes[at] <= 0x39 {
        change.width = (change.width ?? 0) * 10 + Int(format.bytes[at] - 0x30)
        guard change.width! <= 1000 else {
          throw Fault(expected: "widths of at most 1000 in a format of time", found: "a larger one")
        }
        at += 1
      }
      if at < format.bytes.count,
        format.bytes[at] == UInt8(ascii: "E") || format.bytes[at] == UInt8(ascii: "O")
      {
        at += 1
      }
      guard at < format.bytes.count else {
        out.append("%")
        out.append(Text(format.bytes[start...]))
        break
      }
      let letter = format.next(&at)
      if let text = conversion(letter, change) {
        try run.spend(1)
        try run.make(bytes: text.utf8.count, after: out.bytes.count)
        out.append(text)
      } else {
        // What strftime does not know it leaves as it is.
        out.append("%")
        out.append(Text(format.bytes[start..<at]))
      }
    }
    return out
  }

  private static func flag(_ byte: UInt8) -> ((inout Change) -> Void)? {
    switch byte {
    case UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "0"):
      { $0.pad = Character(Unicode.Scalar(byte)) }
    case UInt8(ascii: "^"): { $0.isUpper = true }
    case UInt8(ascii: "#"): { $0.swapsCase = true }
    default: nil
    }
  }

  private func number(_ value: Int, _ width: Int, _ change: Change, pad: Character = "0") -> String {
    let pad = change.pad ?? pad
    let digits = String(value)
    if pad == "-" { return digits }
    let missing = max((change.width ?? width) - digits.utf8.count, 0)
    return String(repeating: pad == "_" ? " " : "0", count: missing) + digits
  }

  private func word(_ text: String, _ change: Change, swapped: (String) -> String = { $0.uppercased() })
    -> String
  {
    let text = change.isUpper ? text.uppercased() : change.swapsCase ? swapped(text) : text
    let missing = max((change.width ?? 0) - text.utf8.count, 0)
    return String(repeating: change.pad == "0" ? "0" : " ", count: missing) + text
  }

  private var hourOfTwelve: Int { (hour + 11) % 12 + 1 }

  /// Several conversions in one.
  private func whole(_ format: String, _ change: Change) -> String {
    var text = ""
    var isConversion = false
    for scalar in format.unicodeScalars {
      if isConversion {
        text += conversion(scalar, Change()) ?? ""
        isConversion = false
      } else if scalar == "%" {
        isConversion = true
      } else {
        text.unicodeScalars.append(scalar)
      }
    }
    return word(text, change)
  }

  private func conversion(_ letter: Unicode.Scalar, _ change: Change) -> String? {
    let weekday = TemplateTime.weekdays[self.weekday]
    let month = TemplateTime.months[self.month - 1]
    let fromSunday = (self.weekday + 1) % 7
    switch letter {
    case "a": return word(String(weekday.prefix(3)), change)
    case "A": return word(weekday, change)
    case "b", "h": return word(String(month.prefix(3)), change)
    case "B": return word(month, change)
    case "C": return number(year / 100, 2, change)
    case "d": return number(day, 2, change)
    case "e": return number(day, 2, change, pad: "_")
    case "f":
      let digits = String(microsecond)
      return String(repeating: "0", count: 6 - digits.utf8.count) + digits
    case "g": return number(isoWeek.year % 100, 2, change)
    case "G": return number(isoWeek.year, 1, change)
    case "H": return number(hour, 2, change)
    case "I": return number(hourOfTwelve, 2, change)
    case "j": return number(dayOfYear + 1, 3, change)
    case "k": return number(hour, 2, change, pad: "_")
    case "l": return number(hourOfTwelve, 2, change, pad: "_")
    case "m": return number(self.month, 2, change)
    case "M": return number(minute, 2, change)
    case "p": return word(hour < 12 ? "AM" : "PM", change) { $0.lowercased() }
    case "P": return word(hour < 12 ? "am" : "pm", change)
    case "s": return number(secondsSince1970, 1, change)
    case "S": return number(second, 2, change)
    case "u": return number(self.weekday + 1, 1, change)
    case "U": return number((dayOfYear + 7 - fromSunday) / 7, 2, change)
    case "V": return number(isoWeek.week, 2, change)
    case "w": return number(fromSunday, 1, change)
    case "W": return number((dayOfYear + 7 - self.weekday) / 7, 2, change)
    case "y": return number(year % 100, 2, change)
    case "Y": return number(year, 1, change)
    case "z", "Z": return ""
    case "%": return "%"
    case "n": return "\n"
    case "t": return "\t"
    case "c": return whole("%a %b %e %H:%M:%S %Y", change)
    case "D", "x": return whole("%m/%d/%y", change)
    case "F": return whole("%Y-%m-%d", change)
    case "r": return whole("%I:%M:%S %p", change)
    case "R": return whole("%H:%M", change)
    case "T", "X": return whole("%H:%M:%S", change)
    default: return nil
    }
  }
}
