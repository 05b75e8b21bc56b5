/// Case, found faster for ASCII than by the table of properties.
extension Unicode.Scalar {
  fileprivate var isCapital: Bool {
    value < 0x80 ? value >= 0x41 && value <= 0x5A : properties.isUppercase
  }
  fileprivate var isSmall: Bool { value < 0x80 ? value >= 0x61 && value <= 0x7A : properties.isLowercase }
  fileprivate var hasCase: Bool { value < 0x80 ? isCapital || isSmall : properties.isCased }
}

/// Changes of case as Python's `str` methods make them.
extension Text {
  var lowercased: Text {
    if isASCII { return Text(bytes.map { $0 >= 0x41 && $0 <= 0x5A ? $0 | 0x20 : $0 }) }
    let scalars = scalars
    var result = Text()
    for index in scalars.indices { result.appendLower(index, of: scalars) }
    return result
  }

  var uppercased: Text {
    if isASCII { return Text(bytes.map { $0 >= 0x61 && $0 <= 0x7A ? $0 & 0xDF : $0 }) }
    var result = Text()
    for scalar in scalars { result.append(scalar.properties.uppercaseMapping) }
    return result
  }

  var capitalized: Text {
    let scalars = scalars
    var result = Text()
    for index in scalars.indices {
      if index == 0 {
        result.appendTitle(scalars[0])
      } else {
        result.appendLower(index, of: scalars)
      }
    }
    return result
  }

  /// `str.title`: what follows a letter with case is small, what follows anything else is large.
  var titlecased: Text {
    let scalars = scalars
    var result = Text()
    var follows = false
    for (index, scalar) in scalars.enumerated() {
      if follows {
        result.appendLower(index, of: scalars)
      } else {
        result.appendTitle(scalar)
      }
      follows = scalar.hasCase
    }
    return result
  }

  private mutating func appendTitle(_ scalar: Unicode.Scalar) {
    if scalar.isASCII {
      bytes.append(UInt8(scalar.value) & (scalar.isSmall ? 0xDF : 0xFF))
    } else {
      append(scalar.properties.titlecaseMapping)
    }
  }

  /// The small letter of one of `scalars`. A capital sigma at the end of a word has a form of its own.
  private mutating func appendLower(_ index: Int, of scalars: [Unicode.Scalar]) {
    let scalar = scalars[index]
    if scalar.isASCII {
      bytes.append(UInt8(scalar.value) | (scalar.isCapital ? 0x20 : 0))
      return
    }
    guard scalar.value == 0x3A3 else {
      append(scalar.properties.lowercaseMapping)
      return
    }
    let before = scalars[..<index].last { !$0.properties.isCaseIgnorable }
    let after = scalars[(index + 1)...].first { !$0.properties.isCaseIgnorable }
    let isFinal = before?.properties.isCased == true && after?.properties.isCased != true
    append(Unicode.Scalar(isFinal ? 0x3C2 : 0x3C3)!)
  }

  var isLower: Bool {
    var hasCase = false
    for scalar in scalars {
      if scalar.isCapital || scalar.isTitle { return false }
      if scalar.isSmall { hasCase = true }
    }
    return hasCase
  }

  var isUpper: Bool {
    var hasCase = false
    for scalar in scalars {
      if scalar.isSmall || scalar.isTitle { return false }
      if scalar.isCapital { hasCase = true }
    }
    return hasCase
  }

  /// Whether there are code points and all are of a class.
  func isAll(_ condition: (Unicode.Scalar) -> Bool) -> Bool { !isEmpty && scalars.allSatisfy(condition) }
}
