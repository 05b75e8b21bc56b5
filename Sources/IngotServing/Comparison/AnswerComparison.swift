import IngotInference
import IngotSystem
import IngotToolCalls

/// How two models answered the same prompts with tools.
public struct AnswerComparison: Sendable {
  /// A share of the prompts. Its standard error is that of independent prompts, √(p (1 − p) / n).
  public struct Share: Hashable, Sendable {
    public var count: Int
    public var total: Int

    public init(count: Int, total: Int) { (self.count, self.total) = (count, total) }

    public var value: Double { total == 0 ? 0 : Double(count) / Double(total) }
    /// nil without prompts.
    public var standardError: Double? {
      total == 0 ? nil : (value * (1 - value) / Double(total)).squareRoot()
    }

    var json: JSON {
      [
        "share": JSON(value), "standardError": standardError.map { JSON($0) } ?? .null,
        "count": JSON(count), "of": JSON(total),
      ]
    }
  }

  /// What one model did.
  public struct Model: Hashable, Sendable {
    /// Prompts answered by a call, and by valid ones only.
    public var called: Share
    public var valid: Share
    /// Prompts answered by calls of the tools that the text calls there, and with the same arguments.
    public var expectedTool: Share
    public var expectedCall: Share
    /// Of prompts that it thought about.
    public var thinkingClosed: Share
    public var cutOff: Share

    init(_ answers: [ToolAnswer], _ prompts: [ToolPrompt]) {
      let pairs = zip(answers, prompts)
      func share(_ isCounted: (ToolAnswer, ToolPrompt) -> Bool) -> Share {
        Share(count: pairs.count { isCounted($0, $1) }, total: prompts.count)
      }
      called = share { answer, _ in !answer.calls.isEmpty }
      valid = share { $0.isValid($1.request.tools) }
      expectedTool = share { $0.callsTools(of: $1.expected) }
      expectedCall = share { $0.makesCalls($1.expected) }
      cutOff = share { answer, _ in answer.isCutOff }
      let thought = answers.filter { !$0.reasoning.isEmpty }
      thinkingClosed = Share(count: thought.count(where: \.isThinkingClosed), total: thought.count)
    }

    var json: JSON {
      [
        "called": called.json, "valid": valid.json, "expectedTool": expectedTool.json,
        "expectedCall": expectedCall.json, "thinkingClosed": thinkingClosed.json, "cutOff": cutOff.json,
      ]
    }
  }

  public var prompts: Int
  /// Tokens of an answer, at most.
  public var maximum: Int
  public var original: Model
  public var candidate: Model
  /// Prompts where the candidate calls the tools that the original calls, and with the same arguments.
  public var sameTool: Share
  public var sameCall: Share
  /// Prompts where both answer in the same script, as far as there are letters.
  public var sameScript: Share
  public var sameAnswer: Share

  package init(
    original: [ToolAnswer], candidate: [ToolAnswer], _ prompts: [ToolPrompt], maximum: Int
  ) {
    self.prompts = prompts.count
    self.maximum = maximum
    self.original = Model(original, prompts)
    self.candidate = Model(candidate, prompts)
    let pairs = zip(original, candidate)
    let calling = pairs.filter { original, _ in !original.calls.isEmpty }
    sameTool = Share(count: calling.count { $1.callsTools(of: $0.calls) }, total: calling.count)
    sameCall = Share(count: calling.count { $1.makesCalls($0.calls) }, total: calling.count)
    let spoken = pairs.filter { $0.script != nil && $1.script != nil }
    sameScript = Share(count: spoken.count { $0.script == $1.script }, total: spoken.count)
    sameAnswer = Share(count: pairs.count { $0 == $1 }, total: prompts.count)
  }

  /// The figures under the names that programs read.
  public var json: JSON {
    [
      "prompts": JSON(prompts), "maximumTokens": JSON(maximum), "original": original.json,
      "candidate": candidate.json, "sameTool": sameTool.json, "sameCall": sameCall.json,
      "sameScript": sameScript.json, "sameAnswer": sameAnswer.json,
    ]
  }
}
