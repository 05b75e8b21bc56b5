/// Byte-pair encoding of one word: tokens of its bytes or characters, neighbours joined in the order of the merges.
struct BytePairs: Sendable {
  /// What a word begins as.
  enum Symbols: Sendable {
    /// The token of each byte, or -1.
    case bytes([Int32])
    /// The token of each character that has one, and of each byte of those that have none, if any.
    case characters([UInt32: Int32], fallback: [Int32])

    /// Whether there are texts that not all of becomes tokens.
    var lackSome: Bool {
      switch self {
      case .bytes(let tokens): tokens.contains(-1)
      case .characters(_, let fallback): fallback.isEmpty
      }
    }
  }

  /// What to put for a byte or character that has no token of its own.
  struct Unknown: Sendable {
    var id: Int32
    /// Whether a stretch of such bytes becomes one token.
    var fused: Bool
  }

  /// Two neighbours and what they become.
  struct Pair {
    var left: Int32
    var right: Int32
    /// Lower goes first.
    var rank: UInt32
    var result: Int32
  }

  private let symbols: Symbols
  /// With none, what has no token is dropped.
  let unknown: Unknown?
  /// left << 32 | right → rank << 32 | result.
  private let pairs: [UInt64: UInt64]
  /// The token that the merge of each rank makes; empty where several pairs have one rank.
  private let results: [Int32]
  /// Tokens that are cut again where they are left over.
  private let unused: Set<Int32>

  init(_ symbols: Symbols, unknown: Unknown?, merges: [Tokenizer.Merge]) {
    self.symbols = symbols
    self.unknown = unknown
    var pairs = [UInt64: UInt64](minimumCapacity: merges.count)
    // Of a pair that is listed twice the later rank counts.
    for (rank, merge) in merges.enumerated() {
      pairs[Self.key(merge.left, merge.right)] = Self.key(Int32(truncatingIfNeeded: rank), merge.result)
    }
    self.pairs = pairs
    results = merges.map(\.result)
    unused = []
  }

  /// Pairs of which several may have one rank: of those the leftmost goes first.
  init(_ list: [Pair], symbols: Symbols = .bytes([]), unused: Set<Int32> = []) {
    self.symbols = symbols
    unknown = nil
    var pairs = [UInt64: UInt64](minimumCapacity: list.count)
    for pair in list {
      pairs[Self.key(pair.left, pair.right)] = Self.key(Int32(bitPattern: pair.rank), pair.result)
    }
    self.pairs = pairs
    results = []
    self.unused = unused
  }

  private static func key(_ left: Int32, _ right: Int32) -> UInt64 {
    UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
  }

  /// Buffers that one word after another is encoded in.
  struct Workspace {
    fileprivate var symbols: [Int32] = []
    fileprivate var previous: [Int32] = []
    fileprivate var next: [Int32] = []
    fileprivate var queue = MergeQueue()
    /// What unused tokens were last made of.
    fileprivate var parts: [Int32: (left: Int32, right: Int32)] = [:]
  }

  /// `symbols` with neighbours joined, by pairs of lower ranks than `limit`.
  func merged(_ symbols: [Int32], below limit: UInt32 = .max, with space: inout Workspace) -> [Int32] {
    space.symbols = symbols
    if symbols.count > 1 { merge(below: limit, with: &space) }
    if unused.isEmpty { return space.symbols.filter { $0 >= 0 } }
    var result: [Int32] = []
    for symbol in space.symbols where symbol >= 0 {
      var rest = [symbol]
      while let next = rest.popLast() {
        if let (left, right) = space.parts[next] { rest += [right, left] } else { result.append(next) }
      }
    }
    return result
  }

  /// The tokens of `word`, added to `result`. Time is in proportion to n log n.
  func encode(_ word: ArraySlice<UInt8>, with space: inout Workspace, into result: inout [Int32]) {
    space.symbols.removeAll(keepingCapacity: true)
    switch symbols {
    case .bytes(let tokens): begin(word.lazy.map { tokens[Int($0)] }, &space)
    case .characters(let tokens, let fallback):
      if fallback.isEmpty {
        begin(
          String(decoding: word, as: UTF8.self).unicodeScalars.lazy.map { tokens[$0.value] ?? -1 }, &space)
      } else {
        for scalar in String(decoding: word, as: UTF8.self).unicodeScalars {
          if let token = tokens[scalar.value] {
            space.symbols.append(token)
          } else {
            for byte in String(Character(scalar)).utf8 { space.symbols.append(fallback[Int(byte)]) }
          }
        }
      }
    }
    if space.symbols.count > 1 { merge(with: &space) }
    for symbol in space.symbols where symbol >= 0 { result.append(symbol) }
  }

  private func begin(_ tokens: some Sequence<Int32>, _ space: inout Workspace) {
    var inUnknown = false
    for token in tokens {
      if token >= 0 {
        space.symbols.append(token)
      } else if let unknown, !(unknown.fused && inUnknown) {
        space.symbols.append(unknown.id)
      }
      inUnknown = token < 0
    }
  }

  private func merge(below limit: UInt32 = .max, with space: inout Workspace) {
    let count = Int32(space.symbols.count)
    space.previous = Array(-1..<count - 1)
    space.next = Array(1...count)
    space.parts.removeAll(keepingCapacity: true)
    for at in 0..<count - 1 { push(at, at + 1, with: &space) }
    while let (rank, at) = space.queue.pop() {
      if rank >= limit { return space.queue.removeAll() }
      let left = space.symbols[Int(at)]
      let right = space.next[Int(at)]
      // The entry may be out of date: the pair is gone, or another pair stands there. One that makes the
      // same token counts as the same.
      guard left >= 0, right < count, let current = pairs[Self.key(left, space.symbols[Int(right)])] else {
        continue
      }
      let result = Int32(truncatingIfNeeded: current)
      guard UInt32(current >> 32) == rank || (!results.isEmpty && results[Int(rank)] == result) else {
        continue
      }
      space.symbols[Int(at)] = result
      space.symbols[Int(right)] = -1
      let after = space.next[Int(right)]
      space.next[Int(at)] = after
      let before = space.previous[Int(at)]
      if before >= 0 { push(before, at, with: &space) }
      if after < count {
        space.previous[Int(after)] = at
        push(at, after, with: &space)
      }
    }
  }

  private func push(_ left: Int32, _ right: Int32, with space: inout Workspace) {
    let (first, second) = (space.symbols[Int(left)], space.symbols[Int(right)])
    guard let pair = pairs[Self.key(first, second)] else { return }
    if !unused.isEmpty {
      let result = Int32(truncatingIfNeeded: pair)
      if unused.contains(result) { space.parts[result] = (first, second) }
    }
    space.queue.push(rank: UInt32(pair >> 32), at: left)
  }
}

/// Pairs waiting to be merged, lowest rank first, then leftmost: a binary heap.
private struct MergeQueue {
  private var heap: [UInt64] = []

  mutating func removeAll() { heap.removeAll(keepingCapacity: true) }

  mutating func push(rank: UInt32, at position: Int32) {
    heap.append(UInt64(rank) << 32 | UInt64(UInt32(bitPattern: position)))
    var child = heap.count - 1
    while child > 0 {
      let parent = (child - 1) / 2
      if heap[parent] <= heap[child] { break }
      heap.swapAt(parent, child)
      child = parent
    }
  }

  mutating func pop() -> (rank: UInt32, position: Int32)? {
    guard let top = heap.first else { return nil }
    let last = heap.removeLast()
    if !heap.isEmpty {
      heap[0] = last
      var parent = 0
      while true {
        var child = parent * 2 + 1
        if child >= heap.count { break }
        if child + 1 < heap.count, heap[child + 1] < heap[child] { child += 1 }
        if heap[parent] <= heap[child] { break }
        heap.swapAt(parent, child)
        parent = child
      }
    }
    return (UInt32(truncatingIfNeeded: top >> 32), Int32(truncatingIfNeeded: top))
  }
}
