/// A pattern as instructions for `PatternMatcher`; sets are numbers of a table.
struct PatternProgram: Sendable {
  enum Instruction: Sendable {
    /// Takes one code point of the set.
    case one(Int32)
    /// Takes as many of the set as there are, giving back one at a time.
    case run(Int32)
    /// Takes as many of the set as there are and gives none back.
    case possessive(Int32)
    /// Takes one of the set if there is one and does not give it back.
    case maybe(Int32)
    /// Tries `first`, then `second`.
    case split(first: Int32, second: Int32)
    case jump(Int32)
    case ahead(Int32, negated: Bool)
    case lineEnd(lineFeed: Int32)
    case textEnd
    case match
  }

  private(set) var code: [Instruction] = []
  /// For each instruction the set that the next code point must be in for it to succeed, or -1.
  private(set) var gates: [Int32] = []
  private(set) var sets: [CodePoints] = []

  private static let mostInstructions = 1024
  private static let mostSets = 254
  private var numberOfSet: [CodePoints: Int32] = [:]

  init(_ tree: PatternNode) throws(PatternError) {
    try compile(tree)
    try emit(.match)
    gates = code.map { instruction in
      switch instruction {
      case .one(let set), .ahead(let set, negated: false): set
      default: -1
      }
    }
    numberOfSet = [:]
  }

  private mutating func emit(_ instruction: Instruction) throws(PatternError) {
    if code.count == Self.mostInstructions {
      throw PatternError(
        at: 0, expected: "a pattern of at most \(Self.mostInstructions) steps", found: "more")
    }
    code.append(instruction)
  }

  private mutating func number(of set: CodePoints) throws(PatternError) -> Int32 {
    if let known = numberOfSet[set] { return known }
    if sets.count == Self.mostSets {
      throw PatternError(at: 0, expected: "at most \(Self.mostSets) different sets", found: "more")
    }
    numberOfSet[set] = Int32(sets.count)
    sets.append(set)
    return Int32(sets.count - 1)
  }

  private mutating func compile(_ node: PatternNode) throws(PatternError) {
    switch node {
    case .one(let set): try emit(.one(number(of: set)))
    case .ahead(let set, let negated): try emit(.ahead(number(of: set), negated: negated))
    case .lineEnd: try emit(.lineEnd(lineFeed: number(of: CodePoints("\n"))))
    case .textEnd: try emit(.textEnd)
    case .sequence(let parts): for part in parts { try compile(part) }
    case .choice(let branches): try compile(choice: branches)
    case .repeated(let body, let atLeast, let atMost, let greed):
      for _ in 0..<atLeast { try compile(body) }
      if let atMost {
        try compile(optional: body, times: atMost - atLeast, greed)
      } else {
        try compile(loop: body, greed)
      }
    }
  }

  private mutating func compile(choice branches: [PatternNode]) throws(PatternError) {
    var exits: [Int] = []
    for (index, branch) in branches.enumerated() {
      if index == branches.count - 1 {
        try compile(branch)
        break
      }
      let fork = code.count
      try emit(.match)
      try compile(branch)
      exits.append(code.count)
      try emit(.match)
      code[fork] = .split(first: Int32(fork + 1), second: Int32(code.count))
    }
    for exit in exits { code[exit] = .jump(Int32(code.count)) }
  }

  /// `body` up to `times` times, each try of one more nested in the one before.
  private mutating func compile(
    optional body: PatternNode, times: Int, _ greed: PatternNode.Greed
  ) throws(PatternError) {
    // Only `?+` is possessive with a bound: the parser reads `{1,3}+` as a loop of loops.
    if greed == .possessive, case .one(let set) = body { return try emit(.maybe(number(of: set))) }
    var forks: [Int] = []
    for _ in 0..<times {
      forks.append(code.count)
      try emit(.match)
      try compile(body)
    }
    let end = Int32(code.count)
    for fork in forks {
      let inner = Int32(fork + 1)
      code[fork] = greed == .lazy ? .split(first: end, second: inner) : .split(first: inner, second: end)
    }
  }

  private mutating func compile(loop body: PatternNode, _ greed: PatternNode.Greed) throws(PatternError) {
    if case .one(let set) = body, greed != .lazy {
      let number = try number(of: set)
      return try emit(greed == .greedy ? .run(number) : .possessive(number))
    }
    let fork = code.count
    try emit(.match)
    try compile(body)
    try emit(.jump(Int32(fork)))
    let inner = Int32(fork + 1)
    let end = Int32(code.count)
    code[fork] = greed == .lazy ? .split(first: end, second: inner) : .split(first: inner, second: end)
  }
}
