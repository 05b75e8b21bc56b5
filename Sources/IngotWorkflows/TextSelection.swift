import IngotFormats
import IngotInference
import IngotModels
import IngotSystem
import IngotTensors
import IngotTokenizer

/// Texts, and how they are cut into contexts.
public struct TextSelection: Sendable {
  /// Files in UTF-8; `.jsonl` has an object per line with `text` or `messages`, `.json` a list of them.
  public var paths: [String]
  /// Texts that are part of the program, before those of the paths.
  private(set) var shipped: [ShippedText] = []
  /// Tokens in each context.
  public var context: Int
  /// Maximum contexts per text; nil for all.
  public var chunks: Int?
  /// A file that conversations are rendered by instead of the model's chat template.
  public var chatTemplate: String?
  /// Whether each conversation is a context of its own, its first `context` tokens, of which all but the first are scored; else they
  /// follow one another, cut like any text.
  public var cutsByConversation = false

  public init(_ paths: [String], context: Int = 512, chunks: Int? = nil) {
    self.paths = paths
    self.context = context
    self.chunks = chunks
  }

  /// The held-out texts that are part of the program: agents at work, code, and languages.
  public static func shippedHeldOut(context: Int = 512, chunks: Int? = nil) -> TextSelection {
    var selection = TextSelection([], context: context, chunks: chunks)
    selection.shipped = ShippedText.all(heldOut: true)
    return selection
  }

  package var names: [String] { shipped.map(\.name) + paths.map { Folder.name(of: $0) } }

  /// Contexts of all texts, one after the other.
  ///
  /// - Parameters:
  ///   - tokenizer: makes the tokens.
  ///   - model: whose chat template renders conversations.
  ///   - withSpans: whether contexts of conversations know what their tokens are.
  /// - Throws: FormatError for a text that is not UTF-8 or shorter than one context, and for conversations that the template
  ///   refuses.
  public func contexts(_ tokenizer: Tokenizer, of model: Model, withSpans: Bool = false) throws(FormatError)
    -> [Context]
  {
    try contexts(tokenizer, of: model, chunks: chunks, withSpans: withSpans).flatMap { $0 }
  }

  /// The first contexts of each text, at most `chunks` of each; those of fewer chunks begin those of more.
  func contexts(_ tokenizer: Tokenizer, of model: Model, chunks: Int?, withSpans: Bool = false)
    throws(FormatError) -> [[Context]]
  {
    var all: [[Context]] = []
    for text in shipped {
      let tokens = ConversationTokens(
        try tokenizer.encode(Bytes(text.bytes), path: text.name, atLeast: needed(chunks)))
      all.append(try cut(tokens, text.name, chunks))
    }
    for path in paths {
      if cutsByConversation {
        all.append(try conversations(path, tokenizer, of: model, chunks: chunks, withSpans: withSpans))
        continue
      }
      let bytes = try Bytes.mapping(path)
      let needed = needed(chunks)
      let tokens =
        ConversationFile.isNamed(path)
        ? try encode(bytes, path: path, tokenizer, of: model, atLeast: needed, withSpans: withSpans)
        : ConversationTokens(try tokenizer.encode(bytes, path: path, atLeast: needed))
      all.append(try cut(tokens, path, chunks))
    }
    return all
  }

  /// Tokens in `chunks` contexts.
  private func needed(_ chunks: Int?) -> Int {
    let wanted = chunks.map { $0.multipliedReportingOverflow(by: context) }
    return wanted.map { $0.overflow ? Int.max : $0.partialValue } ?? Int.max
  }

  /// The first contexts of a text, at most `chunks`.
  private func cut(_ tokens: ConversationTokens, _ path: String, _ chunks: Int?) throws(FormatError)
    -> [Context]
  {
    let cut = tokens.cut(length: context, text: Folder.name(of: path))
    guard !cut.isEmpty else {
      throw FormatError(
        path: path, expected: "at least \(context) tokens of text, one context",
        found: "\(tokens.ids.count); give a longer text, or shorter contexts")
    }
    return chunks.map { Array(cut.prefix($0)) } ?? cut
  }

  /// The contexts of each text that calibration uses: the first `chunks`, without those at its end that are left to what
  /// measures later (`ContextSplit.reserved`).
  ///
  /// - Returns: with each text's contexts, how many were left that would have been used otherwise.
  func calibrationContexts(_ tokenizer: Tokenizer, of model: Model, chunks: Int?) throws(FormatError)
    -> [(used: [Context], left: Int)]
  {
    try contexts(tokenizer, of: model, chunks: chunks.map(ContextSplit.needed)).map { all in
      let wanted = min(chunks ?? all.count, all.count)
      let used = min(wanted, all.count - ContextSplit.reserved(of: all.count))
      return (Array(all.prefix(used)), wanted - used)
    }
  }

  /// Contexts to choose by and others to judge the choice by, apart from those that statistics have seen.
  package func contextsApart(
    _ tokenizer: Tokenizer, of model: Model, from statistics: ContextSplit.Statistics?
  ) throws(FormatError) -> ContextSplit {
    ContextSplit(try contexts(tokenizer, of: model, chunks: nil), chunks: chunks, seen: statistics)
  }

  /// Tokens of a file of JSON, or of a beginning of it that has at least `needed`.
  ///
  /// Texts that follow each other are one text, each with a newline behind it. A conversation is rendered by the model's chat
  /// template, which writes the begin token where it wants one, so the tokenizer adds none.
  private func encode(
    _ bytes: Bytes, path: String, _ tokenizer: Tokenizer, of model: Model, atLeast needed: Int,
    withSpans: Bool
  ) throws(FormatError) -> ConversationTokens {
    var renderer = try ConversationRenderer(model, tokenizer, template: chatTemplate)
    var all = ConversationTokens([])
    var text = ""
    func endText() throws(FormatError) {
      if text.isEmpty { return }
      let ids = try tokenizer.encode(
        Bytes(Array(text.utf8)), path: path, atLeast: max(needed - all.ids.count, 0))
      all.append(ConversationTokens(ids))
      text = ""
    }
    try ConversationFile.read(bytes, path: path) { entry throws(FormatError) in
      switch entry {
      case .text(let line): text += line + "\n"
      case .conversation(let conversation):
        try endText()
        all.append(try ConversationTokens(conversation, &renderer, tokenizer, withSpans: withSpans))
      }
      return all.ids.count < needed
    }
    try endText()
    return all
  }

  /// A context for each conversation of a file.
  private func conversations(
    _ path: String, _ tokenizer: Tokenizer, of model: Model, chunks: Int?, withSpans: Bool
  ) throws(FormatError) -> [Context] {
    guard ConversationFile.isNamed(path) else {
      throw FormatError(
        path: path, expected: "conversations, as .jsonl, .ndjson or .json",
        found: "another name; leave out --conversations")
    }
    var renderer = try ConversationRenderer(model, tokenizer, template: chatTemplate)
    var contexts: [Context] = []
    try ConversationFile.read(try Bytes.mapping(path), path: path) { entry throws(FormatError) in
      guard case .conversation(let conversation) = entry else {
        throw FormatError(
          path: path, expected: "conversations, objects with \"messages\"",
          found: "a \"text\"; leave out --conversations")
      }
      var tokens = try ConversationTokens(conversation, &renderer, tokenizer, withSpans: withSpans)
      tokens.cut(to: context)
      var context =
        tokens.cut(length: max(tokens.ids.count, 1), text: Folder.name(of: path)).first ?? Context([])
      context.isScoredWhole = true
      if context.tokens.count > 1 { contexts.append(context) }
      return contexts.count < chunks ?? Int.max
    }
    guard !contexts.isEmpty else {
      throw FormatError(path: path, expected: "a conversation of at least two tokens", found: "none")
    }
    return contexts
  }
}

extension Tokenizer {
  /// Tokens of a text file, or of a beginning of it that has at least `needed`.
  func encode(_ bytes: Bytes, path: String, atLeast needed: Int) throws(FormatError) -> [Int] {
    // A beginning cut in the middle of a word ends in other tokens than the text has there: some are to spare.
    let spare = 256
    var length = needed < bytes.count / 4 ? 4 * needed + 4096 : bytes.count
    while true {
      length = min(length, bytes.count)
      // Back to where a character begins.
      while length < bytes.count, length > 0, bytes[length] & 0xC0 == 0x80 { length -= 1 }
      guard let text = String(validating: bytes[0..<length].array, as: UTF8.self) else {
        throw FormatError(path: path, expected: "text in UTF-8", found: "other bytes")
      }
      let ids = encode(text)
      if length == bytes.count || ids.count >= needed + spare { return ids }
      length *= 4
    }
  }
}
