/// How a family of models writes calls of tools.
public enum ToolCallFormat: String, CaseIterable, Sendable {
  /// MiniMax: `<minimax:tool_call><invoke name="f"><parameter name="a">1</parameter></invoke></minimax:tool_call>`.
  case minimax
  /// Hermes and Qwen: `<tool_call>{"name": "f", "arguments": {"a": 1}}</tool_call>`.
  case hermes
  /// Qwen3-Coder: `<tool_call><function=f><parameter=a>1</parameter></function></tool_call>`.
  case qwenCoder = "qwen-coder"
  /// GLM: `<tool_call>f<arg_key>a</arg_key><arg_value>1</arg_value></tool_call>`.
  case glm
  /// DeepSeek V3, R1 and V3.1: `<｜tool▁call▁begin｜>f<｜tool▁sep｜>{"a": 1}<｜tool▁call▁end｜>`, in a section.
  case deepSeek = "deepseek"
  /// DeepSeek V3.2: `<｜DSML｜invoke name="f"><｜DSML｜parameter name="a" string="false">1</｜DSML｜parameter></｜DSML｜invoke>`, in a
  /// section.
  case deepSeekMarkup = "deepseek-dsml"
  /// Kimi K2: `<|tool_call_begin|>functions.f:0<|tool_call_argument_begin|>{"a": 1}<|tool_call_end|>`, in a section.
  case kimi
  /// gpt-oss: `<|channel|>commentary to=functions.f <|constrain|>json<|message|>{"a": 1}<|call|>`.
  case harmony
  /// Mistral: `[TOOL_CALLS]` with a list of calls, or `[TOOL_CALLS]f[ARGS]{"a": 1}`.
  case mistral

  /// The format that a chat template asks for; nil for one that has no place for calls, or an unknown one.
  public init?(template: String) {
    let marks: [(String, ToolCallFormat)] = [
      ("<minimax:tool_call>", .minimax), ("<|tool_calls_section_begin|>", .kimi),
      ("<｜DSML｜", .deepSeekMarkup),
      ("<｜tool▁calls▁begin｜>", .deepSeek), ("<|channel|>", .harmony), ("<arg_key>", .glm),
      ("<function=", .qwenCoder), ("<tool_call>", .hermes), ("[TOOL_CALLS]", .mistral),
    ]
    // Some templates put a mark together from its letters and a sign that the tokenizer has.
    let dsml = template.contains("DSML") && template.contains("function_calls")
    guard let format = dsml ? .deepSeekMarkup : marks.first(where: { template.contains($0.0) })?.1 else {
      return nil
    }
    self = format
  }

  /// Where calls stand in a text.
  struct Section: Sendable {
    var open: [UInt8]
    /// Ends a call.
    var callEnd: [UInt8]
    /// Ends all of them; nil where it is one call.
    var close: [UInt8]?

    init(_ open: String, _ callEnd: String, _ close: String? = nil) {
      self.open = Array(open.utf8)
      self.callEnd = Array(callEnd.utf8)
      self.close = close.map { Array($0.utf8) }
    }
  }

  /// nil for a format that is no text with sections in it.
  var section: Section? {
    switch self {
    case .minimax: Section("<minimax:tool_call>", "</invoke>", "</minimax:tool_call>")
    case .hermes, .qwenCoder, .glm: Section("<tool_call>", "</tool_call>")
    case .deepSeek:
      Section("<｜tool▁calls▁begin｜>", "<｜tool▁call▁end｜>", "<｜tool▁calls▁end｜>")
    case .deepSeekMarkup:
      Section("<｜DSML｜function_calls>", "</｜DSML｜invoke>", "</｜DSML｜function_calls>")
    case .kimi: Section("<|tool_calls_section_begin|>", "<|tool_call_end|>", "<|tool_calls_section_end|>")
    // To the end of the answer.
    case .mistral: Section("[TOOL_CALLS]", "\u{0}")
    case .harmony: nil
    }
  }

  /// Tokens that the format is written with. Where a tokenizer calls them special, they are part of the text all the same.
  public var marks: [String] {
    switch self {
    case .minimax: ["<minimax:tool_call>", "</minimax:tool_call>"]
    case .hermes: ["<tool_call>", "</tool_call>"]
    case .qwenCoder:
      ["<tool_call>", "</tool_call>", "<function=", "</function>", "<parameter=", "</parameter>"]
    case .glm: ["<tool_call>", "</tool_call>", "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>"]
    case .deepSeek:
      [
        "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>", "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>",
        "<｜tool▁sep｜>",
      ]
    case .deepSeekMarkup: ["｜DSML｜", "<｜DSML｜"]
    case .kimi:
      [
        "<|tool_calls_section_begin|>", "<|tool_calls_section_end|>", "<|tool_call_begin|>",
        "<|tool_call_end|>", "<|tool_call_argument_begin|>",
      ]
    case .harmony:
      ["<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|constrain|>", "<|return|>", "<|call|>"]
    case .mistral: ["[TOOL_CALLS]", "[ARGS]", "[CALL_ID]"]
    }
  }
}

/// Marks around what a model thinks.
public struct ReasoningMarks: Hashable, Sendable {
  public var open: String
  public var close: String

  public init(open: String, close: String) { (self.open, self.close) = (open, close) }

  /// The marks that a chat template knows; nil for none.
  public init?(template: String) {
    if template.contains("</think>") {
      self.init(open: "<think>", close: "</think>")
    } else if template.contains("[/THINK]") {
      self.init(open: "[THINK]", close: "[/THINK]")
    } else {
      return nil
    }
  }

  /// Whether a prompt ends within what the model thinks.
  public func areOpen(in prompt: String) -> Bool {
    var bytes = Array(prompt.utf8)[...]
    while let last = bytes.last, isSpace(last) { bytes.removeLast() }
    return bytes.suffix(open.utf8.count).elementsEqual(open.utf8)
  }
}
