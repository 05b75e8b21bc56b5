import IngotModels
import IngotSystem
import IngotTensors
import IngotTokenizer
import Testing

@Suite("Tokenizer files and texts made to hurt") struct TokenizerHostileTests {
  /// The smallest file that is read, with one part replaced.
  func file(_ changes: [String: String] = [:], model: [String: String] = [:]) -> [UInt8] {
    var modelParts = [
      "type": #""BPE""#, "vocab": #"{"a":0,"b":1,"ab":2}"#, "merges": #"["a b"]"#,
    ]
    modelParts.merge(model) { $1 }
    var parts = [
      "added_tokens": "[]", "pre_tokenizer": #"{"type":"ByteLevel","add_prefix_space":false}"#,
      "decoder": #"{"type":"ByteLevel"}"#,
    ]
    parts["model"] = object(modelParts)
    parts.merge(changes) { $1 }
    return Array(object(parts).utf8)
  }

  private func object(_ parts: [String: String]) -> String {
    "{"
      + parts.filter { !$0.value.isEmpty }.map { "\"\($0.key)\":\($0.value)" }.sorted().joined(separator: ",")
      + "}"
  }

  private func message(_ json: [UInt8], config: String? = nil) -> String? {
    do throws(FormatError) {
      _ = try Tokenizer(json: json, path: "m/tokenizer.json", config: config.map { Array($0.utf8) })
      return nil
    } catch {
      return error.description
    }
  }

  private func added(_ fields: String) -> [String: String] { ["added_tokens": "[\(fields)]"] }

  private func token(_ id: String, _ content: String) -> String {
    """
    {"id":\(id),"content":"\(content)","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,\
    "special":true}
    """
  }

  @Test func readsTheSmallestFile() throws {
    let tokenizer = try Tokenizer(json: file(), path: "t", config: nil)
    #expect(tokenizer.encode("abba") == [2, 1, 0])
    // A byte that has no token is dropped where there is no unknown token, and its neighbours meet.
    #expect(tokenizer.encode("axb") == [2])
    #expect(tokenizer.decode([2, 7, 0]) == "aba")
    // Of a pair listed twice the later rank counts.
    let twice = file(model: [
      "vocab": #"{"a":0,"b":1,"c":2,"ab":3,"bc":4}"#, "merges": #"["a b","b c",["a","b"]]"#,
    ])
    #expect(try Tokenizer(json: twice, path: "t", config: nil).encode("abc") == [0, 4])
  }

  @Test func saysWhatIsWrong() {
    #expect(
      message(file(model: ["merges": #"["a b","b x"]"#]))
        == "m/tokenizer.json: expected model.merges[1]: pieces of the vocabulary, joined as well as apart, "
        + "found 'x', which is not in it")
    #expect(
      message(file(["decoder": #"{"type":"WordPiece"}"#]))
        == "m/tokenizer.json: expected decoder.type: ByteLevel, Replace, ByteFallback, Fuse, Strip, Metaspace or Sequence "
        + "(no other is supported), found the string \"WordPiece\"")
    #expect(
      message(file(), config: #"{"add_bos_token": 1}"#)
        == "m/tokenizer_config.json: expected add_bos_token: true or false, found the number 1")
  }

  @Test func refusesWhatIsNotATokenizer() {
    let bad: [[UInt8]] = [
      [], Array("[]".utf8), Array("{}".utf8), Array("{\"model\":{}}".utf8), Array("{\"model\":3}".utf8),
      file(["model": ""]), file(["version": "\"2.0\""]),
      file(["normalizer": #"{"type":"NFX"}"#]), file(["normalizer": "3"]), file(["decoder": "3"]),
      file(["decoder": "{}"]), file(["pre_tokenizer": "{}"]),
      file(["pre_tokenizer": #"{"type":"UnicodeScripts"}"#]),
      file(["pre_tokenizer": #"{"type":"Sequence"}"#]),
      file(["pre_tokenizer": #"{"type":"ByteLevel"}"#]),
      file(["post_processor": #"{"type":"BertProcessing"}"#]),
      file(["post_processor": #"{"type":"TemplateProcessing","single":[],"special_tokens":{}}"#]),
      file([
        "post_processor":
          #"{"type":"TemplateProcessing","single":[{"Sequence":{"id":"B"}}],"special_tokens":{}}"#
      ]),
      file([
        "post_processor":
          #"{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"x"}},{"Sequence":{"id":"A"}}],"special_tokens":{"x":{"ids":[9]}}}"#
      ]),
      file(model: ["type": "\"Unigram\""]), file(model: ["vocab": ""]), file(model: ["merges": ""]),
      file(model: ["vocab": "[]"]), file(model: ["vocab": #"{"a":-1}"#]),
      file(model: ["vocab": #"{"a":1.5}"#]),
      file(model: ["vocab": #"{"a":"0"}"#]), file(model: ["vocab": #"{"a":4194304}"#]),
      // A table by number of 64 MB for a file of 200 bytes.
      file(model: ["vocab": #"{"a":4194303,"b":0,"ab":1}"#]),
      file(model: ["vocab": #"{"a":18446744073709551615}"#]),
      file(model: ["vocab": #"{"a":99999999999999999999}"#]),
      file(model: ["vocab": #"{"a":0,"b":0,"ab":1}"#]),
      file(model: ["vocab": #"{"a":0,"b":1,"ab":2,"a":3}"#]),
      file(model: ["merges": "{}"]), file(model: ["merges": "[3]"]), file(model: ["merges": #"["ab"]"#]),
      file(model: ["merges": #"["a b c"]"#]), file(model: ["merges": #"[["a"]]"#]),
      file(model: ["merges": #"[["a","b",3]]"#]),
      file(model: ["merges": #"[["a",3]]"#]), file(model: ["merges": #"["b a"]"#]),
      file(model: ["merges": #"[" b"]"#]),
      file(model: ["byte_fallback": "true"]), file(model: ["byte_fallback": "2"]),
      file(model: ["dropout": "0.1"]),
      file(model: ["unk_token": "\"<unk>\""]),
      file(model: ["end_of_word_suffix": "\"</w>\""]), file(model: ["continuing_subword_prefix": "\"##\""]),
      file(model: ["ignore_merges": "1"]),
      file(added("3")), file(added("{}")), file(added(token("4", "<s>"))), file(added(token("-3", "<s>"))),
      file(added(token("3", ""))), file(added(token("1", "a"))), file(added(token("1e9", "<s>"))),
      file(added(token("3", "<s>") + "," + token("4", "<s>"))), file(["added_tokens": "{}"]),
      file(added(token("3", String(repeating: "x", count: 1025)))),
    ]
    for json in bad {
      #expect(message(json) != nil, "\(String(decoding: json, as: UTF8.self).prefix(300))")
    }
    #expect(message(file(added(token("3", "<s>")))) == nil)
    #expect(message(file(added(token("3", String(repeating: "x", count: 1024))))) == nil)
    for config in ["", "[]", "{", #"{"bos_token":3}"#, #"{"eos_token":{}}"#, #"{"add_bos_token":"yes"}"#] {
      #expect(message(file(), config: config) != nil, "\(config)")
    }
    #expect(message(file(), config: #"{"bos_token":"nowhere","add_bos_token":null}"#) == nil)
  }

  @Test func refusesPatternsByPlace() {
    func split(_ pattern: String) -> [UInt8] {
      file([
        "pre_tokenizer": """
        {"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"\(pattern)"},"behavior":"Isolated",\
        "invert":false},{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}]}
        """
      ])
    }
    #expect(message(split("a|b+")) == nil)
    #expect(
      message(split("a(?>b)"))
        == "m/tokenizer.json: expected pre_tokenizer.pretokenizers[0].pattern: a group of the kinds "
        + "(…) (?:…) (?i:…) (?=…) (?!…), at character 3 of the expression, found '>'")
    for pattern in ["(a{1000}){1000}", "a{1000000000}", "(", "(a*)*"] {
      #expect(message(split(pattern)) != nil)
    }
  }

  /// Every prefix of a real file, and the file with single bytes changed: an error or a tokenizer.
  @Test func neverCrashes() throws {
    let json = try fixture("tokenizer/unknown.json")
    for length in stride(from: 0, to: json.count - 2, by: 7) {
      #expect(message(Array(json[..<length])) != nil)
    }
    var random = SystemRandomNumberGenerator()
    for _ in 0..<1500 {
      var changed = json
      changed[Int.random(in: 0..<json.count, using: &random)] = UInt8.random(in: 32..<127, using: &random)
      if let tokenizer = try? Tokenizer(json: changed, path: "t", config: nil) {
        _ = tokenizer.decode(tokenizer.encode("abcde <unk> 12\u{301}"))
      }
    }
  }

  /// A million of one thing, as one word, many words or many tokens: quadratic time would be minutes.
  @Test(arguments: [
    " ", "a", "'", "\n", "1", "漢", " a", "\r\n ", "<", "]~", "]~b]", "<think>", "e\u{301}", "\u{3000}",
  ])
  func longTexts(_ unit: String) throws {
    let text = String(repeating: unit, count: 1_000_000 / unit.utf8.count)
    let clock = ContinuousClock()
    for name in ["m2-nano", "gpt4", "gpt2", "deepseek"] {
      let tokenizer = try tokenizer(name)
      var back = ""
      let time = clock.measure { back = tokenizer.decode(tokenizer.encode(text)) }
      #expect(back == text && time < .seconds(30), "\(name), \(unit.debugDescription): \(time)")
    }
  }

  /// Each token of white space would take along all the white space behind it.
  @Test func stripsOnce() throws {
    func strips(left: Bool) throws -> Tokenizer {
      let token = """
        {"id":3,"content":" ","single_word":false,"lstrip":\(left),"rstrip":true,"normalized":false,"special":false}
        """
      return try Tokenizer(json: file(added(token)), path: "t", config: nil)
    }
    // Hugging Face's tokens: without lstrip, each space is still a token of its own.
    #expect(try strips(left: true).encode("a   b") == [0, 3, 1])
    #expect(try strips(left: false).encode("a   b") == [0, 3, 3, 3, 1])
    let tokenizer = try strips(left: false)
    let clock = ContinuousClock()
    var count = 0
    let time = clock.measure { count = tokenizer.encode(String(repeating: " ", count: 1_000_000)).count }
    #expect(count == 1_000_000 && time < .seconds(30), "\(time)")
  }
}
