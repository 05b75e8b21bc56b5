import IngotFormats
import IngotInference
import IngotModels
import IngotSystem
import IngotTensors
import IngotTokenizer

/// Contexts that a model makes itself, to be calibrated on: no text is needed that is like what it was trained on.
public struct OwnText: Hashable, Sendable {
  /// Contexts to make.
  public var count: Int
  public var seed: UInt64 = 0
  public var temperature = 1.0

  public init(_ count: Int) { self.count = count }

  /// Tokens of a start.
  private static let startTokens = 12
  /// Tokens from one start of a text to the next.
  private static let step = 96
  /// The name that figures by text, and records, have for it.
  static let name = "generated"

  /// What decides the contexts, for a run that resumes.
  var identity: JSON {
    ["contexts": JSON(count), "seed": JSON(Int(bitPattern: UInt(seed))), "temperature": JSON(temperature)]
  }

  /// - Parameter texts: whose beginnings, and passages within them, the model continues; without paths those that are part of the program.
  /// - Throws: FormatError for texts that cannot be read, and for a stopped run.
  func contexts(
    of model: Model, _ tokenizer: Tokenizer, _ texts: TextSelection, workers: Int,
    progress: @escaping (Int, Int) -> Void, shouldStop: @escaping () -> Bool
  ) async throws(FormatError) -> [Context]? {
    let own = try starts(of: model, tokenizer, texts)
    var making = OwnContexts(length: texts.context)
    making.temperature = temperature
    making.seed = seed
    making.workers = workers
    making.ends = try GenerationDefaults(model, tokenizer).ends
    return try await making.made(
      by: model, count: count, starts: own, text: OwnText.name, progress: progress, shouldStop: shouldStop)
  }

  /// Beginnings of texts, in an order that the seed gives.
  private func starts(of model: Model, _ tokenizer: Tokenizer, _ texts: TextSelection) throws(FormatError)
    -> [[Int]]
  {
    var starts: [[Int]] = []
    let begin = tokenizer.addsBeginToken ? [tokenizer.beginToken].compactMap(\.self) : []
    func add(_ tokens: [Int]) {
      for first in stride(from: 0, to: tokens.count - OwnText.startTokens, by: OwnText.step) {
        let start = tokens[first..<first + OwnText.startTokens]
        starts.append(tokens[first] == begin.first ? Array(start) : begin + start)
      }
    }
    if texts.paths.isEmpty {
      for text in ShippedText.all(heldOut: false) {
        add(tokenizer.encode(String(decoding: text.bytes, as: UTF8.self)))
      }
    } else {
      var selection = texts
      selection.context = OwnText.step
      for context in try selection.contexts(tokenizer, of: model) { add(context.tokens) }
    }
    guard !starts.isEmpty else {
      throw FormatError(
        path: texts.paths.first ?? model.path,
        expected: "texts of at least \(OwnText.startTokens + 1) tokens to begin with",
        found: "shorter ones")
    }
    // Fisher and Yates, by the same numbers on every machine.
    var state = seed
    for index in starts.indices.reversed().dropLast() {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      starts.swapAt(index, Int(state >> 33) % (index + 1))
    }
    return starts
  }
}
