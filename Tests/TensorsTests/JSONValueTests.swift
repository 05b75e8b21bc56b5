import IngotSystem
import IngotTensors
import Testing

/// What JSON texts mean, and that writing and reading are inverse.
@Suite struct JSONValueTests {
  private func parse(_ text: String) throws -> JSON { try JSON.parse(Array(text.utf8), path: "text") }

  @Test func escapesMeanTheirCharacters() throws {
    let text = #"["\" \\ \/ \b \f \n \r \t", "\u0041\u00e9\u20AC", "\uD83D\uDE00", "\\u0041", "\u0000x"]"#
    let strings = try #require(try parse(text).array).compactMap(\.string)
    #expect(strings == ["\" \\ / \u{8} \u{C} \n \r \t", "Aé€", "😀", "\\u0041", "\0x"])
  }

  /// Digits survive: nothing goes through a binary float.
  @Test func numbersKeepTheirText() throws {
    let texts = [
      "0", "-0", "1.0", "1.50", "1e5", "1E+05", "0.1", "123456789012345678901234567890", "5000000", "1e-06",
      "-0.0e-0",
      "3.141592653589793238462643383279502884197", "1e400",
    ]
    for text in texts {
      let value = try parse("[\(text)]")
      #expect(value.text() == "[\(text)]")
      guard case .number(let number)? = value.array?.first else {
        Issue.record("\(text) is no number")
        continue
      }
      #expect(number.text == text)
    }
  }

  @Test func numbersHaveValuesOnlyWhereTheyFit() throws {
    let values = try #require(
      try parse("[9223372036854775807, 9223372036854775808, -9223372036854775808, 1.0, 1e3, -0, 1.5]").array)
    #expect(values.map(\.int) == [Int.max, nil, Int.min, nil, nil, 0, nil])
    #expect(values[3].double == 1 && values[4].double == 1000 && values[6].double == 1.5)
    #expect(values[1].double == 9_223_372_036_854_775_808)
  }

  @Test func kindsAreNotMixedUp() throws {
    let object = try parse(#"{"n":null,"b":true,"i":1,"s":"1","a":[1],"o":{}}"#)
    #expect(object["n"]?.isNull == true && object["x"] == nil)
    #expect(
      object["b"]?.int == nil && object["i"]?.bool == nil && object["s"]?.int == nil
        && object["i"]?.string == nil)
    #expect(object["a"]?.object == nil && object["o"]?.array == nil && object["o"]?.object?.count == 0)
    #expect(object["a"]?.array?.count == 1 && object["s"]?.string == "1" && object["b"]?.bool == true)
    #expect(try parse("[1]")["a"] == nil)
  }

  @Test func objectsKeepTheOrderOfTheirKeys() throws {
    let text = #"{"z":1,"a":2,"m":{"b":1,"a":2},"0":3}"#
    let value = try parse(text)
    #expect(value.object?.keys == ["z", "a", "m", "0"])
    #expect(value.text() == text)
    var object = try #require(value.object)
    object["a"] = nil
    object["z"] = 9
    object["new"] = [1]
    #expect(JSON.object(object).text() == #"{"z":9,"m":{"b":1,"a":2},"0":3,"new":[1]}"#)
  }

  /// Writing what was read, and reading what was written, gives the same value; on one line or on many.
  @Test func writingAndReadingAreInverse() throws {
    for (about, text) in JSONGrammarTests.accepted {
      let value = try parse(text)
      for indented in [false, true] {
        let written = value.text(indented: indented)
        #expect(try parse(written) == value, "\(about): \(written)")
        #expect(try parse(written).text(indented: indented) == written, "\(about)")
      }
      #expect(!value.text().contains("\n"), "\(about)")
    }
  }

  /// Every character of the first planes goes through a string; controls are never written as they are.
  @Test func everyCharacterGoesThrough() throws {
    var text = ""
    for code in Array(UInt32(0)..<0x3000) + Array(0xD700..<0xE100) + Array(0x1F000..<0x1F100) + [
      0xFFFF, 0x10FFFF,
    ] {
      if let scalar = Unicode.Scalar(code) { text.unicodeScalars.append(scalar) }
    }
    let written = JSON.string(text).text()
    #expect(written.unicodeScalars.allSatisfy { $0.value >= 0x20 && !(0x7F..<0xA0).contains($0.value) })
    let read = try #require(try parse(written).string)
    #expect(Array(read.unicodeScalars) == Array(text.unicodeScalars))
  }

  @Test func doublesReadBackEqual() throws {
    let values: [Double] = [
      0, -0.0, 1, -1, 0.1, 1e-7, 1.5e300, .leastNonzeroMagnitude, .greatestFiniteMagnitude,
      .leastNormalMagnitude, 123_456_789, 1e16, .pi, 2e22,
    ]
    for value in values {
      let text = JSON(value).text()
      #expect(try parse(text).double == value, "\(text)")
    }
    #expect(JSON(Double.nan) == .null && JSON(-Double.infinity) == .null)
  }

  @Test func indentedTextIsForPeople() throws {
    let value: JSON = ["a": [1, 2, 3], "b": ["c": []], "d": [["x": 1]], "e": [:]]
    #expect(
      value.text(indented: true) == """
        {
          "a": [1,2,3],
          "b": {
            "c": []
          },
          "d": [
            {
              "x": 1
            }
          ],
          "e": {}
        }
        """)
  }

  /// The scanner's own way through an object: what a SafeTensors header is read with.
  @Test func scannerReadsPieceByPiece() throws {
    var scanner = JSONScanner(
      Array(#" {"a": [1, 18446744073709551615], "b": "x"} "#.utf8), path: "text", base: 100)
    try scanner.beginObject()
    #expect(try scanner.nextKey() == "a")
    try scanner.beginArray()
    var numbers: [UInt64] = []
    while try scanner.nextElement() { numbers.append(try scanner.unsignedInteger()) }
    #expect(numbers == [1, .max])
    #expect(try scanner.nextKey() == "b")
    #expect(try scanner.string() == "x")
    #expect(try scanner.nextKey() == nil)
    try scanner.end()
    #expect(scanner.offset == 144)
  }

  @Test(arguments: [
    "-1", "1.0", "1e3", "01", "18446744073709551616", "\"1\"", "", "null", "99999999999999999999999",
  ])
  func scannerRefusesWhatIsNoUnsignedInteger(_ text: String) throws {
    var scanner = JSONScanner(Array(text.utf8), path: "text", base: 8)
    let error = #expect(throws: FormatError.self) { try scanner.unsignedInteger() }
    #expect(error?.offset == 8)
  }
}
