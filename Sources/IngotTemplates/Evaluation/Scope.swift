/// The variables of a function under way: the template itself, a macro, a block, the body of a recursive
/// loop. Which variable has which slot is found when the template is read.
final class Scope: Holder {
  let run: Rendering
  /// The function in which this one was made.
  let parent: Scope?
  private var slots: [Value?]
  /// What a block has written that a filter is about to take.
  var captured = Text()
  /// Whether the rendering cuts what this refers to in the end.
  var isHeld = false

  init(_ run: Rendering, slots: Int, parent: Scope?) {
    self.run = run
    self.parent = parent
    self.slots = [Value?](repeating: nil, count: slots)
  }

  /// Where a variable is: how many functions further out, and its slot there.
  struct Place: Sendable {
    var out: Int
    var slot: Int
  }

  subscript(place: Place) -> Value? {
    get {
      if place.out == 0 { return slots[place.slot] }
      var scope = parent!
      for _ in 1..<place.out { scope = scope.parent! }
      return scope.slots[place.slot]
    }
    set {
      precondition(place.out == 0, "a function sets its own variables only")
      slots[place.slot] = newValue
    }
  }

  func clear() { slots = [] }
}
