import IngotSystem
import IngotTensors
import Testing

/// Texts that RFC 8259 allows, and texts that it, or our stricter rules, forbid.
@Suite struct JSONGrammarTests {
  /// Each text is JSON.
  static let accepted: [(about: String, text: String)] = [
    ("null alone", "null"), ("true alone", "true"), ("false alone", "false"), ("a string alone", "\"a\""),
    ("an empty string alone", "\"\""), ("zero alone", "0"), ("a negative number alone", "-1"),
    ("an empty array", "[]"), ("an empty object", "{}"), ("space in an empty array", "[ ]"),
    ("line ends in an empty object", "{\r\n\t }"), ("space around everything", " \t\r\n[ 1 , 2 ] \n"),
    ("space around colons", "{ \"a\" : 1 , \"b\" : 2 }"), ("an empty key", "{\"\":0}"),
    ("arrays in arrays", "[[],[[]],[[[]]]]"), ("objects in objects", "{\"a\":{\"a\":{\"a\":{}}}}"),
    ("all kinds in one array", "[null,true,false,0,\"\",[],{}]"), ("minus zero", "[-0]"),
    ("zero with fraction", "[0.0]"),
    ("a fraction", "[1.5]"), ("a long fraction", "[0.10000000000000000000000000000001]"),
    ("zero with exponent", "[0e0]"),
    ("zero with signed exponent", "[0e+1,0E-1]"), ("small e", "[1e5]"), ("capital E", "[1E5]"),
    ("plus exponent", "[1e+05]"),
    ("minus exponent", "[1e-05]"), ("fraction and exponent", "[-1.5E+10]"),
    ("leading zeros of an exponent", "[1e0001]"),
    ("an exponent beyond every double", "[1e999999]"),
    ("an integer beyond 2^64", "[123456789012345678901234567890]"),
    ("the least Int", "[-9223372036854775808]"), ("every simple escape", #"["\" \\ \/ \b \f \n \r \t"]"#),
    ("an escaped slash, which need not be", #"["a\/b"]"#), ("an escaped NUL", #"["\u0000"]"#),
    ("escapes in both cases", #"["\u00e9\u00E9"]"#), ("a surrogate pair", #"["\uD83D\uDE00"]"#),
    ("the last code point", #"["\uDBFF\uDFFF"]"#), ("a noncharacter", #"["\uFFFF\uFFFE"]"#),
    ("an escaped byte order mark", #"["\uFEFF"]"#), ("an escaped quote by number", #"["\u0022"]"#),
    ("an escaped backslash by number", #"["\u005C"]"#), ("UTF-8 of two, three and four bytes", "[\"é€😀\"]"),
    ("DEL in a string", "[\"\u{7F}\"]"), ("U+2028 in a string", "[\"\u{2028}\u{2029}\"]"),
    ("C1 controls in a string", "[\"\u{80}\u{9F}\"]"),
    ("a noncharacter in UTF-8", "[\"\u{10FFFF}\u{FFFF}\"]"),
    ("brackets in a string", "[\"]},{[\"]"), ("a comment in a string", "[\"/* no */ // no\"]"),
    ("a key with escapes", #"{"\u0061":1,"\n":2}"#), ("keys that differ in case", "{\"a\":1,\"A\":2}"),
    ("keys in many objects", "[{\"a\":1},{\"a\":1}]"), ("a backslash before a quote", #"["\\"]"#),
    ("two backslashes before u", #"["\\u0061"]"#), ("pair after a letter", #"["a\uD834\uDD1Eb"]"#),
  ]

  /// No text is JSON.
  static let refused: [(about: String, text: String)] = [
    ("nothing", ""), ("space", " "), ("a line end", "\n"), ("two values", "1 2"), ("two arrays", "[][]"),
    ("a letter after", "[1]x"), ("a bracket after", "[1]]"), ("a brace after", "{}}"),
    ("a comma after", "[1],"),
    ("a quote after", "\"a\"\""), ("an unclosed array", "["), ("an unclosed array after a value", "[1"),
    ("an unclosed array after a comma", "[1,"), ("an unclosed object", "{"),
    ("an object cut after a key", "{\"a\""),
    ("an object cut after a colon", "{\"a\":"), ("an object cut after a value", "{\"a\":1"),
    ("an object cut after a comma", "{\"a\":1,"), ("the wrong bracket", "[1}"),
    ("the wrong brace", "{\"a\":1]"),
    ("a closing bracket alone", "]"), ("a comma alone", ","), ("a colon alone", ":"),
    ("a trailing comma", "[1,]"),
    ("two trailing commas", "[1,,]"), ("a leading comma", "[,1]"), ("a comma for an array", "[,]"),
    ("two commas", "[1,,2]"),
    ("a trailing comma in an object", "{\"a\":1,}"), ("a leading comma in an object", "{,\"a\":1}"),
    ("two commas in an object", "{\"a\":1,,\"b\":2}"), ("no comma", "[1 2]"),
    ("no comma between strings", "[\"a\" \"b\"]"),
    ("no comma in an object", "{\"a\":1 \"b\":2}"), ("a colon in an array", "[1:2]"),
    ("a semicolon", "[1;2]"),
    ("no colon", "{\"a\" 1}"), ("two colons", "{\"a\"::1}"), ("a comma for a colon", "{\"a\",1}"),
    ("no value", "{\"a\":}"),
    ("no key", "{:1}"), ("a bare key", "{a:1}"), ("a number for a key", "{1:1}"),
    ("null for a key", "{null:1}"),
    ("an array for a key", "{[]:1}"), ("a key in single quotes", "{'a':1}"), ("single quotes", "['a']"),
    ("backquotes", "[`a`]"), ("a bare word", "[a]"), ("capital TRUE", "[TRUE]"), ("capital Null", "[Null]"),
    ("half a word", "[tru]"), ("a word cut by the end", "nul"), ("a word too long", "[nulll]"),
    ("two words", "[truefalse]"),
    ("NaN", "[NaN]"), ("Infinity", "[Infinity]"), ("minus Infinity", "[-Infinity]"), ("inf", "[inf]"),
    ("undefined", "[undefined]"),
    ("a leading zero", "[01]"), ("two zeros", "[00]"), ("a leading zero after minus", "[-01]"),
    ("a plus", "[+1]"),
    ("a minus alone", "[-]"), ("two minus", "[--1]"), ("minus and a letter", "[-a]"),
    ("a space after minus", "[- 1]"),
    ("no digit before the point", "[.5]"), ("minus and a point", "[-.5]"),
    ("no digit after the point", "[1.]"),
    ("point and exponent", "[1.e5]"), ("two points", "[1.2.3]"), ("no exponent", "[1e]"),
    ("no exponent after plus", "[1e+]"),
    ("no exponent after minus", "[1E-]"), ("two exponents", "[1e2e3]"),
    ("a fraction in an exponent", "[1e2.5]"),
    ("hexadecimal", "[0x1F]"), ("octal", "[0o17]"), ("binary", "[0b1]"),
    ("digits with underscores", "[1_000]"),
    ("digits with commas inside", "{\"a\":1,000}"), ("a letter after a number", "[1a]"),
    ("full-width digits", "[１]"),
    ("an unclosed string", "[\"a"), ("a string that ends in a backslash", "[\"\\"),
    ("an escaped closing quote", "[\"a\\\"]"),
    ("an unknown escape", #"["\a"]"#), ("a hexadecimal escape", #"["\x41"]"#),
    ("an octal escape", #"["\101"]"#),
    ("an escaped line end", "[\"\\\n\"]"), ("an escaped quote of the other kind", #"["\'"]"#),
    ("capital U", #"["\U0041"]"#),
    ("a short escape", #"["\u00"]"#), ("a short escape at the end", #"["\u"#),
    ("an escape with a letter past f", #"["\u00G0"]"#),
    ("an escape with a sign", #"["\u+041"]"#), ("an escape in braces", #"["\u{41}"]"#),
    ("an escape with a space", #"["\u 041"]"#),
    ("a lone high surrogate", #"["\uD800"]"#), ("a lone low surrogate", #"["\uDC00"]"#),
    ("two high ones", #"["\uD800\uD800"]"#),
    ("low before high", #"["\uDC00\uD800"]"#), ("high before a letter", #"["\uD800a"]"#),
    ("high before an escape", #"["\uD800\n"]"#),
    ("high before another escape", #"["\uD800\u0061"]"#), ("high before half an escape", #"["\uD800\u"]"#),
    ("high at the end", #"["\uD83D"#), ("a line end in a string", "[\"a\nb\"]"),
    ("a tab in a string", "[\"a\tb\"]"),
    ("a NUL in a string", "[\"a\0b\"]"), ("U+001F in a string", "[\"\u{1F}\"]"), ("a NUL between", "[1\0]"),
    ("a NUL after", "[1]\0"),
    ("a form feed between", "[\u{C}1]"), ("a vertical tab between", "[\u{B}1]"),
    ("a no-break space between", "[\u{A0}1]"),
    ("a line separator between", "[\u{2028}1]"), ("a byte order mark before", "\u{FEFF}[1]"),
    ("a byte order mark after", "[1]\u{FEFF}"),
    ("a line comment", "[1] // one"), ("a block comment", "[/* one */ 1]"),
    ("a comment of Python", "[1] # one"),
    ("a key twice", "{\"a\":1,\"a\":2}"), ("a key twice, the same value", "{\"a\":1,\"a\":1}"),
    ("a key twice, not neighbours", "{\"a\":1,\"b\":2,\"a\":3}"),
    ("a key twice, once escaped", #"{"a":1,"\u0061":2}"#),
    ("an empty key twice", "{\"\":1,\"\":2}"), ("a key twice inside", "[{\"a\":{\"b\":1,\"b\":2}}]"),
    ("a star", "[*]"), ("a dot", "."),
  ]

  /// Bytes that are no UTF-8, in a string.
  static let brokenUTF8: [(about: String, bytes: [UInt8])] = [
    ("a lone continuation", [0x80]), ("0xFF", [0xFF]), ("0xFE", [0xFE]), ("a cut sequence of two", [0xC3]),
    ("a cut sequence of three", [0xE2, 0x82]), ("a cut sequence of four", [0xF0, 0x9F, 0x98]),
    ("an overlong slash", [0xC0, 0xAF]),
    ("an overlong NUL", [0xC0, 0x80]), ("an overlong euro", [0xF0, 0x82, 0x82, 0xAC]),
    ("a surrogate", [0xED, 0xA0, 0x80]),
    ("a pair of surrogates", [0xED, 0xA0, 0xBD, 0xED, 0xB8, 0x80]),
    ("past U+10FFFF", [0xF4, 0x90, 0x80, 0x80]),
    ("five bytes", [0xF8, 0x88, 0x80, 0x80, 0x80]), ("Latin-1", [0xE9]), ("UTF-16", [0x00, 0x61]),
  ]

  @Test func acceptsWhatIsJSON() throws {
    #expect(Self.accepted.count >= 50)
    for (about, text) in Self.accepted {
      #expect(throws: Never.self, "\(about)") { try JSON.parse(Array(text.utf8), path: "text") }
    }
  }

  @Test func refusesWhatIsNot() throws {
    #expect(Self.refused.count >= 110)
    for (about, text) in Self.refused {
      let bytes = Array(text.utf8)
      let error = #expect(throws: FormatError.self, "\(about): \(text)") {
        try JSON.parse(bytes, path: "text")
      }
      // The error names the file and a byte of it, or the one after its end.
      let found = try #require(error)
      #expect(found.path == "text" && found.tensor == nil, "\(about)")
      #expect(try #require(found.offset) <= UInt64(bytes.count), "\(about): \(found)")
    }
  }

  @Test func refusesWhatIsNoUTF8() throws {
    for (about, bytes) in Self.brokenUTF8 {
      for text in [bytes, Array("ab".utf8) + bytes + Array("c".utf8), Array(#"\n"#.utf8) + bytes] {
        let quoted = Array("[\"".utf8) + text + Array("\"]".utf8)
        #expect(throws: FormatError.self, "\(about)") { try JSON.parse(quoted, path: "text") }
        let key = Array("{\"".utf8) + text + Array("\":1}".utf8)
        #expect(throws: FormatError.self, "\(about) in a key") { try JSON.parse(key, path: "text") }
      }
      #expect(throws: FormatError.self, "\(about) outside a string") { try JSON.parse(bytes, path: "text") }
    }
  }

  /// Every text, cut anywhere, is refused or read; it never crashes. Only numbers can be cut and stay JSON.
  @Test func cutTextsDoNotCrash() throws {
    for (_, text) in Self.accepted + Self.refused {
      let bytes = Array(text.utf8)
      for length in 0..<bytes.count {
        if let value = try? JSON.parse(Array(bytes[..<length]), path: "text") {
          let first = bytes[..<length].first { $0 > 0x20 }!
          #expect(value.array == nil || first == UInt8(ascii: "["), "\(text)")
        }
      }
    }
  }

  @Test func nestingHasALimit() throws {
    let limit = JSONScanner.depthLimit
    for (left, right) in [("[", "]"), ("{\"a\":", "}")] {
      func nested(_ depth: Int) -> [UInt8] {
        let inner = left == "[" ? "" : "1"
        return Array(
          (String(repeating: left, count: depth) + inner + String(repeating: right, count: depth)).utf8)
      }
      #expect(throws: Never.self) { try JSON.parse(nested(limit), path: "text") }
      let error = #expect(throws: FormatError.self) { try JSON.parse(nested(limit + 1), path: "text") }
      #expect(try #require(error).expected.contains("\(limit) levels"))
      // Deep enough to overflow a stack that would follow.
      #expect(throws: FormatError.self) { try JSON.parse(nested(200_000), path: "text") }
    }
    // The limit is of depth, not of brackets: closed ones are forgotten.
    let wide = "[" + Array(repeating: "[[]]", count: 10_000).joined(separator: ",") + "]"
    #expect(throws: Never.self) { try JSON.parse(Array(wide.utf8), path: "text") }
  }
}
