import IngotSystem
import IngotWorkflows

/// What went wrong: in a file, with the system, or with what was asked for.
public struct IngotError: Error, Sendable, CustomStringConvertible {
  /// One line that says all of it.
  public let description: String
  /// The file concerned.
  public let path: String?
  /// The tensor concerned, by its name in the file.
  public let tensor: String?
  /// Where in the file, in bytes from its start.
  public let byteOffset: UInt64?
  /// What was needed there.
  public let expected: String?
  /// What was there instead.
  public let found: String?
  /// Whether what was done so far is kept, so that the same call resumes.
  public let isResumable: Bool

  init(_ error: any Error) {
    if let error = error as? FormatError {
      (description, path, tensor, byteOffset) = (error.description, error.path, error.tensor, error.offset)
      (expected, found, isResumable) = (error.expected, error.found, error.isResumable)
    } else {
      description = (error as? RequestError)?.message ?? "\(error)"
      (path, tensor, byteOffset, expected, found, isResumable) = (nil, nil, nil, nil, nil, false)
    }
  }
}

/// Runs what throws errors of the parts.
func translating<Result>(_ body: () async throws -> Result) async throws(IngotError) -> Result {
  do { return try await body() } catch { throw IngotError(error) }
}

/// The same of what does not wait.
func translatingNow<Result>(_ body: () throws -> Result) throws(IngotError) -> Result {
  do { return try body() } catch { throw IngotError(error) }
}
