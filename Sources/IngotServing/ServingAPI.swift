import IngotSystem

/// Whose API a request speaks, which decides the shape and status of errors.
public enum ServingAPI: Sendable {
  case openAI, anthropic

  /// The status of HTTP for an error.
  public func status(_ kind: ServingError.Kind) -> Int {
    switch kind {
    case .invalid, .contextLength: 400
    case .unauthorized: 401
    case .notFound: 404
    case .methodNotAllowed: 405
    case .requestTimeout: 408
    case .tooLarge: 413
    case .overloaded: self == .openAI ? 503 : 529
    case .shuttingDown: 503
    case .timeout: 504
    case .failed, .cancelled: 500
    }
  }

  /// The body of an error.
  public func body(_ error: ServingError) -> JSON {
    switch self {
    case .openAI:
      [
        "error": [
          "message": .string(error.message), "type": .string(openAIType(error.kind)),
          "param": JSON(error.parameter), "code": JSON(openAICode(error.kind)),
        ]
      ]
    case .anthropic:
      [
        "type": "error",
        "error": ["type": .string(anthropicType(error.kind)), "message": .string(error.message)],
      ]
    }
  }

  private func openAIType(_ kind: ServingError.Kind) -> String {
    status(kind) < 500 ? "invalid_request_error" : "server_error"
  }

  private func openAICode(_ kind: ServingError.Kind) -> String? {
    switch kind {
    case .contextLength: "context_length_exceeded"
    case .unauthorized: "invalid_api_key"
    case .notFound: "not_found"
    case .overloaded: "overloaded"
    case .shuttingDown: "shutting_down"
    case .timeout, .requestTimeout: "timeout"
    case .tooLarge: "request_too_large"
    case .invalid, .methodNotAllowed, .failed, .cancelled: nil
    }
  }

  private func anthropicType(_ kind: ServingError.Kind) -> String {
    switch kind {
    case .invalid, .contextLength, .methodNotAllowed, .requestTimeout: "invalid_request_error"
    case .unauthorized: "authentication_error"
    case .notFound: "not_found_error"
    case .tooLarge: "request_too_large"
    case .overloaded, .shuttingDown: "overloaded_error"
    case .timeout: "timeout_error"
    case .failed, .cancelled: "api_error"
    }
  }
}
