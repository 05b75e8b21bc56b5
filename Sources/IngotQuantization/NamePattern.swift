/// A pattern of tensors' names: `*` stands for any text, everything else for itself.
struct NamePattern {
  private let pieces: [[UInt8]]

  init(_ text: String) {
    pieces = text.utf8.split(separator: UInt8(ascii: "*"), omittingEmptySubsequences: false).map(Array.init)
  }

  /// Whether the whole name fits. Pieces are found from the left, so it takes no more than name × pieces steps.
  func matches(_ name: String) -> Bool {
    var rest = Array(name.utf8)[...]
    guard rest.starts(with: pieces[0]) else { return false }
    if pieces.count == 1 { return rest.count == pieces[0].count }
    rest = rest.dropFirst(pieces[0].count)
    for piece in pieces.dropFirst().dropLast() where !piece.isEmpty {
      guard let place = rest.indices.first(where: { rest[$0...].starts(with: piece) }) else { return false }
      rest = rest[(place + piece.count)...]
    }
    let last = pieces[pieces.count - 1]
    return rest.count >= last.count && rest.suffix(last.count).elementsEqual(last)
  }
}
