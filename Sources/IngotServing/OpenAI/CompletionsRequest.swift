import IngotSystem

extension AnswerRequest {
  /// A request of OpenAI's `/v1/completions`: a text, or tokens, to be continued as they are.
  ///
  /// - Throws: `ServingError` that names the member.
  public init(completion json: JSON) throws(ServingError) {
    let fields = try RequestFields(json)
    self.init(try Self.prompt(fields))
    try readSampling(fields)
    maximum = try fields.int("max_tokens", in: 1...Int.max) ?? 16
    logprobs = try fields.int("logprobs", in: 0...20)
    echoes = try fields.bool("echo") ?? false
    try fields.refuse("best_of", unless: { $0.int == 1 }, "one answer is given to a request")
    try fields.refuse("suffix", unless: { $0.string == "" }, "texts are continued at their end")
    if echoes && logprobs != nil {
      throw ServingError(.invalid, "echo: not with logprobs", parameter: "echo")
    }
  }

  private static func prompt(_ fields: RequestFields) throws(ServingError) -> Prompt {
    guard var json = fields["prompt"] else { throw fields.missing("prompt", "a text to continue") }
    // A list of one is that one.
    if let list = json.array, list.count == 1, list[0].int == nil { json = list[0] }
    if let text = json.string { return .text(text) }
    guard let list = json.array, !list.isEmpty, list[0].int != nil else {
      throw .invalid("prompt", expected: "one text, or the tokens of one", found: json.kind)
    }
    var tokens: [Int] = []
    for (index, entry) in list.enumerated() {
      guard let token = entry.int else {
        throw .invalid("prompt[\(index)]", expected: "a token's number", found: entry.kind)
      }
      tokens.append(token)
    }
    return .tokens(tokens)
  }
}
