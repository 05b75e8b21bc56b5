/// The (instruction, position) pairs of a text that a matcher has been in: one bit each, in blocks that are
/// made when a position is first reached and dropped when matching has moved past them.
struct TriedStates {
  private let lower: Int
  private let wordsPerPosition: Int
  private var blocks: [[UInt64]]
  private var dropped = 0

  private static let blockShift = 8

  init(instructions: Int, text: Range<Int>) {
    lower = text.lowerBound
    wordsPerPosition = (instructions + 63) / 64
    blocks = Array(repeating: [], count: (text.count >> Self.blockShift) + 1)
  }

  /// Adds a pair; false if it was there.
  mutating func insert(_ instruction: Int32, _ position: Int) -> Bool {
    let (block, start) = place(of: position)
    if blocks[block].isEmpty {
      blocks[block] = [UInt64](repeating: 0, count: wordsPerPosition << Self.blockShift)
    }
    let word = start + Int(instruction) >> 6
    let bit: UInt64 = 1 << (UInt64(instruction) & 63)
    if blocks[block][word] & bit != 0 { return false }
    blocks[block][word] |= bit
    return true
  }

  /// Forgets what was tried at `position` and will not be asked for anything before it.
  mutating func forget(at position: Int) {
    let (block, start) = place(of: position)
    guard block < blocks.count else { return }
    while dropped < block {
      blocks[dropped] = []
      dropped += 1
    }
    if blocks[block].isEmpty { return }
    for word in start..<start + wordsPerPosition { blocks[block][word] = 0 }
  }

  private func place(of position: Int) -> (block: Int, word: Int) {
    let index = position - lower
    return (index >> Self.blockShift, (index & (1 << Self.blockShift - 1)) * wordsPerPosition)
  }
}
