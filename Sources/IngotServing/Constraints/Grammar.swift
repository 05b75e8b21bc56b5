/// What a text has to be: rules of bytes and other rules, from the first rule on.
///
/// Rules must not begin with themselves.
package struct Grammar: Hashable, Sendable {
  package typealias Rule = Int

  package enum Element: Hashable, Sendable {
    case bytes(ByteSet)
    case rule(Rule)
  }

  /// Of each rule its alternatives.
  package private(set) var rules: [[[Element]]] = []
  /// The whole text.
  package var root: Rule = 0

  mutating func add(_ alternatives: [[Element]] = []) -> Rule {
    rules.append(alternatives)
    return rules.count - 1
  }

  /// Gives a rule that was added before what it is.
  mutating func set(_ rule: Rule, _ alternatives: [[Element]]) { rules[rule] = alternatives }

  static func text(_ text: String) -> [Element] { text.utf8.map { .bytes(ByteSet($0)) } }

  /// An element some times, one after the other.
  ///
  /// - Parameter most: nil for any number.
  mutating func repeated(_ element: [Element], least: Int = 0, most: Int? = nil) -> [Element] {
    var rest: [Element] = []
    if let most {
      for _ in 0..<max(most - least, 0) { rest = [.rule(add([element + rest, []]))] }
    } else {
      let rule = add()
      set(rule, [element + [.rule(rule)], []])
      rest = [.rule(rule)]
    }
    for _ in 0..<least { rest = element + rest }
    return rest
  }
}

/// Some of the 256 bytes.
package struct ByteSet: Hashable, Sendable {
  private var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)

  init(_ bytes: UInt8...) { for byte in bytes { insert(byte) } }

  init(_ ranges: [ClosedRange<UInt8>], without: [UInt8] = []) {
    for range in ranges {
      for byte in range where !without.contains(byte) { insert(byte) }
    }
  }

  private mutating func insert(_ byte: UInt8) {
    let bit: UInt64 = 1 << UInt64(byte & 63)
    switch byte >> 6 {
    case 0: words.0 |= bit
    case 1: words.1 |= bit
    case 2: words.2 |= bit
    default: words.3 |= bit
    }
  }

  func contains(_ byte: UInt8) -> Bool {
    let word =
      switch byte >> 6 {
      case 0: words.0
      case 1: words.1
      case 2: words.2
      default: words.3
      }
    return word >> UInt64(byte & 63) & 1 == 1
  }

  package static func == (one: ByteSet, other: ByteSet) -> Bool { one.words == other.words }

  package func hash(into hasher: inout Hasher) {
    hasher.combine(words.0)
    hasher.combine(words.1)
    hasher.combine(words.2)
    hasher.combine(words.3)
  }
}

/// How far a text has come in a grammar: the ways in which it can go on.
package struct GrammarState: Hashable, Sendable {
  /// A place in a rule: the next element there is bytes.
  private struct Place: Hashable {
    var rule: Int
    var alternative: Int
    var element: Int
  }

  /// Ways that are followed at once; a grammar that needs more is cut to the first.
  private static let mostWays = 512

  /// Each way is a stack of places, the last one at work; those before go on when it has ended.
  private var ways: Set<[Place]> = []
  /// Whether the text may end here.
  package private(set) var canEnd = false

  package init(_ grammar: Grammar) {
    for alternative in grammar.rules[grammar.root].indices {
      expand([Place(rule: grammar.root, alternative: alternative, element: 0)], grammar)
    }
  }

  private init() {}

  /// Whether nothing can follow.
  package var isComplete: Bool { ways.isEmpty }

  /// The state behind a byte; nil where it cannot follow.
  package func after(_ byte: UInt8, _ grammar: Grammar) -> GrammarState? {
    var next = GrammarState()
    for way in ways {
      var way = way
      let place = way[way.count - 1]
      guard case .bytes(let set) = grammar.rules[place.rule][place.alternative][place.element],
        set.contains(byte)
      else { continue }
      way[way.count - 1].element += 1
      next.expand(way, grammar)
    }
    return next.ways.isEmpty && !next.canEnd ? nil : next
  }

  package func after(_ bytes: some Sequence<UInt8>, _ grammar: Grammar) -> GrammarState? {
    var state = self
    for byte in bytes {
      guard let next = state.after(byte, grammar) else { return nil }
      state = next
    }
    return state
  }

  /// Follows a way to where bytes come next.
  private mutating func expand(_ way: [Place], _ grammar: Grammar) {
    guard ways.count < Self.mostWays else { return }
    var way = way
    while let place = way.last {
      let elements = grammar.rules[place.rule][place.alternative]
      guard place.element < elements.count else {
        way.removeLast()
        continue
      }
      switch elements[place.element] {
      case .bytes:
        ways.insert(way)
        return
      case .rule(let rule):
        // What comes behind the rule; nothing where it is the last, so that repetition does not pile up.
        if place.element + 1 < elements.count {
          way[way.count - 1].element += 1
        } else {
          way.removeLast()
        }
        for alternative in grammar.rules[rule].indices {
          expand(way + [Place(rule: rule, alternative: alternative, element: 0)], grammar)
        }
        return
      }
    }
    canEnd = true
  }
}
