import IngotSystem
import IngotToolCalls

/// Makes of an answer, as it comes, what an API sends: one object, or a stream of events.
protocol AnswerEncoder: Sendable {
  /// Events before the answer.
  mutating func begin(_ usage: AnswerUsage) -> String
  /// Events of some of the answer.
  mutating func add(_ pieces: [AnswerPiece], _ probabilities: [TokenProbability]) -> String
  /// Events at its end.
  mutating func end(_ finish: AnswerFinish, _ usage: AnswerUsage) -> String
  /// The event of an error within a stream.
  func failure(_ error: ServingError) -> String
  /// Keeps some of an answer that is sent whole.
  mutating func keep(_ pieces: [AnswerPiece], _ probabilities: [TokenProbability])
  /// The whole answer, of what was kept.
  func whole(_ finish: AnswerFinish, _ usage: AnswerUsage) -> JSON
}

/// What an answer and its parts are called by.
struct AnswerName: Sendable {
  var model: String
  /// Seconds since 1970.
  var created: Int
  /// Random.
  var token: String

  static func random(digits: Int) -> String {
    let letters = Array("0123456789abcdefghijklmnopqrstuvwxyz")
    return String((0..<digits).map { _ in letters.randomElement()! })
  }
}

/// An event of a stream (Server-Sent Events).
func serverSentEvent(_ json: JSON, name: String? = nil) -> String {
  (name.map { "event: \($0)\n" } ?? "") + "data: \(json.text())\n\n"
}
