extension GGUFPreTokenizer {
  private static let contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
  private static let signs = #" ?[^\s\p{L}\p{N}]+"#
  private static let lines = #"[\r\n]*|\s*[\r\n]+"#
  private static let spaces = #"|\s+(?!\S)|\s+"#

  /// Words with at most one sign before them, and numbers of the digits that `digits` allows.
  private static func words(_ digits: String) -> String {
    contractions + #"|[^\r\n\p{L}\p{N}]?\p{L}+|"# + digits + "|" + signs + lines + spaces
  }

  /// Words that end where lower case turns to upper, `end` behind them; `set` narrows the letters.
  private static func casedWords(_ digits: String, end: String, slash: String = "/", set: String = "")
    -> String
  {
    let upper = #"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}"# + set + "]"
    let lower = #"[\p{Ll}\p{Lm}\p{Lo}\p{M}"# + set + "]"
    let sign = #"[^\r\n\p{L}\p{N}]?"#
    return sign + upper + "*" + lower + "+" + end + "|" + sign + upper + "+" + lower + "*" + end + "|"
      + digits
      + "|" + signs + #"[\r\n"# + slash + #"]*|\s*[\r\n]+"# + spaces
  }

  private static let llama3 = words(#"\p{N}{1,3}"#)
  private static let gpt4o = casedWords(#"\p{N}{1,3}"#, end: contractions + "?")

  private static let deepseek3: [Step] = [
    .split(#"\p{N}{1,3}"#), .split("[一-龥\u{3040}-ゟ゠-ヿ]+"),
    .split(
      ##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"##
        + #"|\s*[\r\n]+|\s+(?!\S)|\s+"#),
  ]
  /// Runs of what is neither a space nor one of some signs.
  private static let bloom = Step.split(#" ?[^(\s|[.,!?…。，、।۔،])]+"#)

  /// CJK as the first two DeepSeek tokenizers have it, and the line ends before everything else.
  private static let newline = Step.split("[\r\n]")
  private static let cjk = Step.split("[一-龥\u{800}-一가-\u{D7FF}]+")

  /// Upper and lower case letters of Latin, Greek, Cyrillic and a few more, as DeepSeek LLM lists them: code
  /// points and ranges of them in hexadecimal.
  private static let casedLetters = """
    41-5A 61-7A B5 C0-D6 D8-F6 F8-1BA 1BC-1BF 1C4-293 295-2AF 370-373 376 377 37B-37D 37F 386 388-38A \
    38C 38E-3A1 3A3-3F5 3F7-481 48A-52F 531-556 10A0-10C5 13A0-13F5 13F8-13FD 1C90-1CBA 1CBD-1CBF \
    1D00-1D2B 1D6B-1D77 1D79-1D9A 1E00-1F15 1F18-1F1D 1F20-1F45 1F48-1F4D 1F50-1F57 1F59 1F5B 1F5D \
    1F5F-1F7D 1F80-1FB4 1FB6-1FBC 1FBE 1FC2-1FC4 1FC6-1FCC 1FD0-1FD3 1FD6-1FDB 1FE0-1FEC 1FF2-1FF4 \
    1FF6-1FFC 2102 2107 210A-2113 2115 2119-211D 2124 2126 2128 212A-212D 212F-2134 2139 213C-213F \
    2145-2149 214E 2183 2184 2C00-2C7B 2C7E-2CE4 2CEB-2CEE 2CF2 2CF3 A640-A66D A680-A69B A722-A76F \
    A771-A787 A78B-A78E AB70-ABBF FB00-FB06 FB13-FB17 FF21-FF3A FF41-FF5A 10400-1044F 104B0-104D3 \
    104D8-104FB 10C80-10CB2 10CC0-10CF2 118A0-118DF 1E900-1E943
    """

  /// The inside of a set of the code points that `list` names.
  private static func members(_ list: String) -> String {
    list.split(separator: " ").map { item in
      item.split(separator: "-").map { hex in
        UInt32(hex, radix: 16).flatMap(Unicode.Scalar.init).map { String($0) } ?? ""
      }.joined(separator: "-")
    }.joined()
  }

  /// All cuts, in the order in which they are preferred where several are alike.
  package static let all: [GGUFPreTokenizer] = [
    .init(["minimax-m2", "gpt-4o", "llama4", "kanana2", "talkie"], [.split(gpt4o)]),
    .init(
      [
        "llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2",
        "jina-v5-nano",
      ],
      [.split(llama3)], ignoresMerges: true, addsBegin: true),
    .init(["glm4", "glm5"], [.split(llama3)], ignoresMerges: true, lacksBegin: true),
    .init(["dbrx", "smaug-bpe"], [.split(llama3)]),
    .init(["chatglm-bpe"], [.split(llama3)], lacksBegin: true),
    .init(
      [
        "qwen2", "deepseek-r1-qwen", "stablelm2", "megrez", "hunyuan", "solar-open", "grok-2", "kormo",
        "f2llmv2",
        "bailingmoe", "bailingmoe2", "llada-moe",
      ], [.split(words(#"\p{N}"#))]),
    .init(
      ["qwen35"],
      [
        .split(
          contractions + #"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+"# + lines + spaces)
      ]),
    .init(
      ["smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b", "mellum2"],
      [.digits, .gpt2]),
    .init(
      [
        "gpt-2", "phi-2", "olmo", "mpt", "jais", "exaone4", "trillion", "granite-docling", "gigachat",
        "jina-es",
        "jina-de", "jina-v2-es", "jina-v2-de", "a.x-4.0", "mellum", "modern-bert",
      ], [.gpt2]),
    .init(
      ["tekken"], [.split(casedWords(#"\p{N}"#, end: ""))], ignoresMerges: true, addsBegin: true),
    .init(["deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"], deepseek3),
    .init(
      ["deepseek-llm"],
      [
        newline, .split(#"\s?["# + members(casedLetters) + "]+"),
        .split(#"\s?[!-/:-~！-／：-～‘-‟\#u{3000}-。]+"#), .split(#"\s+$"#), cjk, .digits,
      ]),
    .init(
      ["deepseek-coder"], [newline, .split(#"\s?\p{L}+"#), .split(#"\s?\p{P}+"#), cjk, .digits]),
    .init(
      ["kimi-k2"],
      [
        .split(
          #"[\p{Han}]+|"#
            + casedWords(#"\p{N}{1,3}"#, end: contractions + "?", slash: "", set: #"&&[^\p{Han}]"#))
      ]),
    .init(
      ["seed-coder"],
      [
        .split(
          contractions + #"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+"# + spaces)
      ]),
    .init(
      ["exaone-moe"],
      [
        .split(
          contractions + #"|[^\r\n\p{L}\p{N}]?(?:\p{L}\p{M}*(?: \p{L}\p{M}*)*)+|\p{N}"#
            + #"| ?[^\s\p{L}\p{N}]+[\r\n/]?|\s*[\r\n]"# + spaces)
      ]),
    .init(["minicpm5"], [.split(#"\p{N}{1,3}"#), .split(words(#"\p{N}+"#))], ignoresMerges: true),
    .init(["granite-embed-multi-97m"], [.split(gpt4o)], ignoresMerges: true),
    .init(
      ["youtu"],
      [
        .split("[가-힣ㄱ-ㆎ]+|[！…“”‘’—：；，、-〿︰-﹏]+|[ㄅ-ㄯ]+|[一-龥\u{3040}-ゟ゠-ヿ]+"),
        .split(casedWords(#"\p{N}"#, end: contractions + "?")),
      ], ignoresMerges: true),
    .init(
      ["spark2_5"],
      deepseek3.dropLast() + [
        .split(
          ##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+"##
            + #"|[\r\n]|\s+(?!\S)|\s+"#), .digits,
      ]),
    .init(["laguna"], [.split(#"[^\n]+|[\n]+"#), .split(words(#"\p{N}"#))]),
    .init(
      ["ufakzeka"], [.split(#"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"# + signs + lines + spaces)]),
    .init(
      ["chameleon"],
      [
        .split("<sentinel:[0-9]+>"), .split("(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z"),
        .split(#"([\t\n]|    |  )"#), .digits, .split(#"[\p{P}!-/:-@\[-`{-~]"#), .gpt2,
      ], addsBegin: true),
    .init(["poro-chat", "bloom", "gpt3-finnish"], [bloom]),
    .init(["viking"], [bloom, .digits]),
    .init(["falcon"], [.split(#"[\p{P}\$\+<=>\^~\|`]+"#), .gpt2, .split("[0-9][0-9][0-9]")]),
    .init(
      ["default"],
      [
        .split(#"[\p{P}\$\+<=>\^~\|]+"#), .gpt2, .split(#"\p{N}+"#), .split("[0-9][0-9][0-9]"),
      ]),
  ]
}
