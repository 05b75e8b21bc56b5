import IngotSystem
import IngotToolCalls

extension AnswerRequest {
  /// What keeps an answer to what is asked for; nil where that is any text.
  ///
  /// - Parameter format: how the model writes calls. A request with tools is not made of one without.
  /// - Throws: ServingError for schemas that cannot be enforced.
  func grammar(_ format: ToolCallFormat?) throws(ServingError) -> Grammar? {
    if let format {
      switch toolChoice {
      case .required: return try format.grammar(of: tools, place: "tools")
      case .named(let name): return try format.grammar(of: tools.filter { $0.name == name }, place: "tools")
      case .none, .auto: break
      }
    }
    let schema: JSON
    let place: String
    switch form {
    case .text: return nil
    case .json: (schema, place) = (["type": "object"], "response_format")
    case .schema(let given): (schema, place) = (given, "response_format.json_schema.schema")
    }
    guard let format, toolChoice == .auto, !tools.isEmpty else {
      return try SchemaGrammar.grammar(of: schema, place: place)
    }
    // The model may call a tool first, and answer when it knows.
    return try format.grammar(of: tools, place: "tools", or: schema, place)
  }

  /// Refuses what cannot be enforced.
  ///
  /// - Throws: ServingError for it.
  public func checkConstraint(_ format: ToolCallFormat?) throws(ServingError) { _ = try grammar(format) }
}
