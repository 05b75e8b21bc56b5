/// Classes of characters as Python's `str` methods have them.
extension Unicode.Scalar {
  /// What `strip()`, `split()` and `\s` take for white space.
  var isPythonSpace: Bool {
    switch value {
    case 0x09...0x0D, 0x1C...0x20, 0x85, 0xA0, 0x1680, 0x2000...0x200A, 0x2028, 0x2029, 0x202F, 0x205F,
      0x3000:
      true
    default: false
    }
  }

  /// What `splitlines()` ends a line at. A carriage return and a line feed that follows are one end.
  var isLineEnd: Bool {
    switch value {
    case 0x0A...0x0D, 0x1C...0x1E, 0x85, 0x2028, 0x2029: true
    default: false
    }
  }

  var isPythonLetter: Bool {
    if value < 0x80 { return value | 0x20 >= 0x61 && value | 0x20 <= 0x7A }
    return switch properties.generalCategory {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: true
    default: false
    }
  }

  private var isASCIIDigit: Bool { value >= 0x30 && value <= 0x39 }
  var isPythonDecimal: Bool { value < 0x80 ? isASCIIDigit : properties.numericType == .decimal }
  var isPythonDigit: Bool {
    if value < 0x80 { return isASCIIDigit }
    return properties.numericType == .decimal || properties.numericType == .digit
  }
  var isPythonNumeric: Bool { value < 0x80 ? isASCIIDigit : properties.numericType != nil }
  var isPythonAlphanumeric: Bool { isPythonLetter || isPythonNumeric }
  /// What `\w` matches.
  var isWord: Bool { self == "_" || isPythonAlphanumeric }
  var isTitle: Bool { value >= 0x80 && properties.generalCategory == .titlecaseLetter }

  /// Whether `repr` shows the character as it is.
  var isPythonPrintable: Bool {
    if value < 0x80 { return value >= 0x20 && value < 0x7F }
    return switch properties.generalCategory {
    case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator,
      .spaceSeparator:
      false
    default: true
    }
  }

  /// The value of a decimal digit of any script.
  var decimalValue: Int? {
    if value < 0x80 { return value >= 0x30 && value <= 0x39 ? Int(value) - 0x30 : nil }
    guard isPythonDecimal, let number = properties.numericValue else { return nil }
    return Int(number)
  }
}
