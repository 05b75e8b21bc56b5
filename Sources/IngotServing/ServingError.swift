import IngotSystem

/// Why a request is not answered. Each API has its own status and shape for it.
public struct ServingError: Error, Hashable, Sendable {
  public enum Kind: String, CaseIterable, Sendable {
    /// The request cannot be understood, or asks for what there is not.
    case invalid
    /// Prompt and answer do not fit into the context.
    case contextLength
    case unauthorized
    case notFound
    case methodNotAllowed
    case tooLarge
    /// The body came too slowly.
    case requestTimeout
    /// As many requests wait as may.
    case overloaded
    case shuttingDown
    /// The answer took too long.
    case timeout
    /// The model failed.
    case failed
    /// The client has gone, or asked for an end.
    case cancelled
  }

  public var kind: Kind
  public var message: String
  /// The member of the request that is meant, such as `messages[2].role`.
  public var parameter: String?

  public init(_ kind: Kind, _ message: String, parameter: String? = nil) {
    self.kind = kind
    self.message = message
    self.parameter = parameter
  }

  /// What a request lacks.
  static func invalid(_ parameter: String, expected: String, found: String) -> ServingError {
    ServingError(
      .invalid, printable("\(parameter): expected \(expected), found \(found)"),
      parameter: printable(parameter))
  }

  init(_ error: FormatError, as kind: Kind, parameter: String? = nil) {
    self.init(kind, error.description, parameter: parameter)
  }
}
