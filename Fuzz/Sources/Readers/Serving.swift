import IngotServing
import IngotSystem
import IngotToolCalls

// What a server reads: requests of strangers, and what models say.
extension Target {
  static var serving: [Target] {
    [
      Target(name: "requests") {
        { input throws(FormatError) in
          guard let first = input.first else { return }
          let json = try JSON.parse(Array(input.dropFirst()), path: "the body")
          do throws(ServingError) {
            let request =
              switch first % 4 {
              case 0: try AnswerRequest(chat: json)
              case 1: try AnswerRequest(completion: json)
              case 2: try AnswerRequest(messages: json)
              default: try AnswerRequest(messages: json, counts: true)
              }
            try request.checkConstraint(.allCases[Int(first / 4) % ToolCallFormat.allCases.count])
          } catch {
            for byte in (error.message + (error.parameter ?? "")).utf8 {
              precondition(byte >= 0x20 && byte != 0x7F, "a control character in an error: \(error)")
            }
          }
        }
      },
      Target(name: "calls") {
        { input throws(FormatError) in
          guard input.count > 2 else { return }
          let (first, size) = (input[0], Int(input[1] % 32) + 1)
          let text = String(decoding: input.dropFirst(2), as: UTF8.self)
          let format = ToolCallFormat.allCases[Int(first / 4) % ToolCallFormat.allCases.count]
          var whole = AnswerParser(
            format, reasoning: ReasoningMarks(open: "<think>", close: "</think>"),
            startsReasoning: first & 1 == 1,
            tools: tools)
          var parts = whole
          let all = joined(whole.add(text) + whole.end())
          var pieces: [AnswerPiece] = []
          var rest = text[...]
          while !rest.isEmpty {
            pieces += parts.add(String(rest.prefix(size)))
            rest = rest.dropFirst(size)
          }
          precondition(joined(pieces + parts.end()) == all, "an answer that depends on its pieces")
          for case .call(let call) in all {
            let arguments = JSON.object(call.arguments)
            precondition(
              !call.name.isEmpty && (try? JSON.parse(Array(arguments.text().utf8), path: "")) == arguments)
          }
        }
      },
    ]
  }

  private static let tools = ToolDefinition.all(in: [
    [
      "name": "f",
      "parameters": ["properties": ["a": ["type": "string"], "b": ["type": ["integer", "null"]]]],
    ]
  ])

  /// Texts of a kind that follow each other as one.
  private static func joined(_ pieces: [AnswerPiece]) -> [AnswerPiece] {
    var all: [AnswerPiece] = []
    for piece in pieces {
      switch (all.last, piece) {
      case (.content(let before), .content(let text)): all[all.count - 1] = .content(before + text)
      case (.reasoning(let before), .reasoning(let text)): all[all.count - 1] = .reasoning(before + text)
      default: all.append(piece)
      }
    }
    return all
  }
}
