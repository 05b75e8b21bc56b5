/// Runs a pattern over one text: leftmost match, and among those the one that the pattern prefers.
///
/// Matching is backtracking. Once it has taken more steps than ordinary text needs, the matcher begins to
/// remember which (instruction, position) it has tried: a second try could only fail as the first did, so
/// total work is at most instructions × text. What is remembered stays true for later matches of the same
/// text, except at the very position where a match ended, since states there may have led to it.
struct PatternMatcher {
  private struct Frame {
    var pc: Int32
    /// Where to go on.
    var position: Int
    /// For a run: it can give back down to here. Otherwise equal to `position`.
    var lowest: Int
  }

  private let pattern: Pattern
  private let atoms: [UInt8]
  private var stack: [Frame] = []
  private var lower = 0
  private var upper = 0

  /// Code points and instructions looked at so far.
  private(set) var steps = 0
  /// The number of steps at which to begin to remember.
  private var allowance = 0
  private var tried: TriedStates?
  /// The stretch that each possessive loop took last: a later entry within it ends at the same place.
  private var taken: [Int32: Range<Int>] = [:]

  private let freeSteps: Int
  private let stepsPerByte: Int

  /// - Parameter patient: false to remember from the first step on, which gives the same matches.
  init(_ pattern: Pattern, atoms: [UInt8], patient: Bool = true) {
    self.pattern = pattern
    self.atoms = atoms
    freeSteps = patient ? 4096 : 0
    stepsPerByte = patient ? 64 : 0
  }

  /// All matches in `bounds`, in order; what lies beyond the bounds is not seen by lookahead either.
  mutating func matches(in bounds: Range<Int>, each body: (Range<Int>) -> Void) {
    upper = bounds.upperBound
    tried = nil
    taken = [:]
    allowance = steps + freeSteps
    lower = bounds.lowerBound
    var at = lower
    var lastEnd: Int?
    while at <= upper {
      guard let end = match(at: at) else {
        allowance += stepsPerByte
        at = after(at)
        continue
      }
      // An empty match right behind the last match does not count.
      if end > at || lastEnd != end { body(at..<end) }
      allowance += stepsPerByte * (end - at + 1)
      at = end > at ? end : after(at)
      lastEnd = end
      tried?.forget(at: at)
    }
  }

  /// The position behind the code point at `position`.
  private func after(_ position: Int) -> Int {
    var next = position + 1
    while next < upper, atoms[next] == Alphabet.inside { next += 1 }
    return next
  }

  private func holds(_ set: Int32, at position: Int) -> Bool {
    position < upper && pattern.alphabet.members[Int(set) << 8 | Int(atoms[position])] != 0
  }

  /// Where the run of code points in `set` that begins at `position` ends.
  private mutating func runEnd(_ set: Int32, from position: Int) -> Int {
    let base = Int(set) << 8
    var end = position
    while end < upper, pattern.alphabet.members[base | Int(atoms[end])] != 0 { end += 1 }
    steps += end - position
    return end
  }

  /// The same for a possessive loop; each stretch of text is walked once when remembering.
  private mutating func possessiveEnd(_ pc: Int32, _ set: Int32, from position: Int) -> Int {
    guard tried != nil else { return runEnd(set, from: position) }
    let known = taken[pc] ?? 0..<0
    if known.contains(position) { return known.upperBound }
    var end = position
    while end != known.lowerBound || known.isEmpty, holds(set, at: end) { end += 1 }
    steps += end - position
    if end == known.lowerBound, !known.isEmpty { end = known.upperBound }
    if end > position { taken[pc] = position..<end }
    return end
  }

  /// The same for a run, up to the first position at which this run was entered before: giving back from
  /// there on has failed already.
  private mutating func freshRunEnd(_ pc: Int32, _ set: Int32, from position: Int) -> Int {
    var end = position
    while holds(set, at: end) {
      let next = after(end)
      steps += 1
      if tried?.insert(pc, next) != true { break }
      end = next
    }
    return end
  }

  /// The end of the preferred match that begins exactly at `start`.
  private mutating func match(at start: Int) -> Int? {
    let code = pattern.program.code
    stack.removeAll(keepingCapacity: true)
    var pc: Int32 = 0
    var at = start
    while true {
      steps += 1
      if steps > allowance, tried == nil {
        tried = TriedStates(instructions: code.count, text: lower..<upper)
      }
      if tried != nil, tried?.insert(pc, at) != true {
        guard resume(&pc, &at) else { return nil }
        continue
      }
      var goes = true
      switch code[Int(pc)] {
      case .match: return at
      case .one(let set):
        goes = holds(set, at: at)
        if goes { at = after(at) }
      case .run(let set):
        let end = tried == nil ? runEnd(set, from: at) : freshRunEnd(pc, set, from: at)
        if end > at { stack.append(Frame(pc: pc + 1, position: before(end), lowest: at)) }
        at = end
      case .possessive(let set): at = possessiveEnd(pc, set, from: at)
      case .maybe(let set): if holds(set, at: at) { at = after(at) }
      case .split(let first, let second):
        if opens(first, at) {
          if opens(second, at) { stack.append(Frame(pc: second, position: at, lowest: at)) }
          pc = first
        } else {
          pc = second
        }
        continue
      case .jump(let target):
        pc = target
        continue
      case .ahead(let set, let negated): goes = holds(set, at: at) != negated
      case .lineEnd(let lineFeed): goes = at == upper || holds(lineFeed, at: at)
      case .textEnd: goes = at == upper
      }
      if goes {
        pc += 1
      } else {
        guard resume(&pc, &at) else { return nil }
      }
    }
  }

  private func opens(_ pc: Int32, _ position: Int) -> Bool {
    let gate = pattern.program.gates[Int(pc)]
    return gate < 0 || holds(gate, at: position)
  }

  private func before(_ position: Int) -> Int {
    var previous = position - 1
    while previous > 0, atoms[previous] == Alphabet.inside { previous -= 1 }
    return previous
  }

  /// Takes up the newest alternative; false if none is left.
  private mutating func resume(_ pc: inout Int32, _ at: inout Int) -> Bool {
    guard let frame = stack.last else { return false }
    pc = frame.pc
    at = frame.position
    if frame.position > frame.lowest {
      stack[stack.count - 1].position = before(frame.position)
    } else {
      stack.removeLast()
    }
    return true
  }
}
