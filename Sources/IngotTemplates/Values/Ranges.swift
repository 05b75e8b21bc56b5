/// `range(…)`
final class RangeObject: Object {
  let start: Int
  let stop: Int
  let step: Int
  let count: Int

  /// - Parameter step: not zero.
  init(start: Int, stop: Int, step: Int) {
    self.start = start
    self.stop = stop
    self.step = step
    count = RangeObject.count(start, stop, step)
  }

  /// How many numbers there are; the largest integer when they are more than that.
  static func count(_ start: Int, _ stop: Int, _ step: Int) -> Int {
    guard step > 0 ? start < stop : start > stop else { return 0 }
    let distance = BigInt(stop) - BigInt(start)
    let (quotient, remainder) = distance.dividedMagnitude(by: BigInt(step))
    return (remainder.isZero ? quotient : quotient + BigInt(1)).int ?? .max
  }

  /// The intermediate product may wrap around where the sum does not.
  subscript(index: Int) -> Value { .int(start &+ index &* step) }

  func slice(_ bounds: SliceBounds) throws(Fault) -> RangeObject {
    let numbers = (BigInt(bounds.start), BigInt(bounds.stop), BigInt(bounds.step))
    guard let start = (BigInt(start) + numbers.0 * BigInt(step)).int,
      let stop = (BigInt(self.start) + numbers.1 * BigInt(step)).int,
      let step = (BigInt(step) * numbers.2).int
    else { throw Fault(expected: "a part of a range that ends below 2^63", found: "one that does not") }
    return RangeObject(start: start, stop: stop, step: step)
  }

  override var typeName: String { "range" }
  override var depth: Int { 0 }
  override var hasItems: Bool { true }

  override func length(_ run: Rendering) throws(Fault) -> Int? { count }

  override func item(_ index: Value, _ run: Rendering) throws(Fault) -> Value? {
    guard let index = index.index else { return nil }
    let place = index < 0 ? index + count : index
    return place >= 0 && place < count ? self[place] : nil
  }

  override func iterate(_ run: Rendering) throws(Fault) -> Iteration? {
    Counting(count) { [self] index in self[index] }
  }

  override func iterateBackward(_ run: Rendering) throws(Fault) -> Iteration? {
    Counting(count, typeName: "range_iterator") { [self] index in self[count - 1 - index] }
  }

  override func isEqual(_ other: Object, _ run: Rendering) throws(Fault) -> Bool {
    guard let other = other as? RangeObject, count == other.count else { return false }
    return count == 0 || start == other.start && (count == 1 || step == other.step)
  }

  override func member(_ name: MemberName, _ run: Rendering) throws(Fault) -> Value? {
    switch name.string {
    case "start": .int(start)
    case "stop": .int(stop)
    case "step": .int(step)
    case "index", "count": .object(BoundMethod(.object(self), .sequence(name.string)))
    default: nil
    }
  }

  override func representation(_ run: Rendering, depth: Int) throws(Fault) -> Text {
    Text(step == 1 ? "range(\(start), \(stop))" : "range(\(start), \(stop), \(step))")
  }
}

/// Goes through what is numbered from 0.
final class Counting: Iteration {
  private let count: Int
  private let value: (Int) -> Value
  private var index = 0
  private let name: String

  init(
    _ count: Int, over source: Value? = nil, typeName: String = "iterator", _ value: @escaping (Int) -> Value
  ) {
    self.count = count
    self.value = value
    name = typeName
    super.init(over: source)
  }

  override var typeName: String { name }

  override func next(_ run: Rendering) throws(Fault) -> Value? {
    guard index < count else { return nil }
    index += 1
    return value(index - 1)
  }
}

/// Goes through the code points of a text.
final class Characters: Iteration {
  private let text: Text
  private var at = 0

  init(_ text: Text) {
    self.text = text
    super.init()
  }

  override var typeName: String { "str_iterator" }

  override func next(_ run: Rendering) throws(Fault) -> Value? {
    at < text.bytes.count ? .text(Text(text.next(&at))) : nil
  }
}

/// Values that are made when they are asked for.
final class Generator: Iteration {
  private var step: (Rendering) throws(Fault) -> Value?

  init(over source: Value?, _ step: @escaping (Rendering) throws(Fault) -> Value?) {
    self.step = step
    super.init(over: source)
  }

  override func next(_ run: Rendering) throws(Fault) -> Value? {
    // The values of a generator may come from another, and so on.
    try run.enter(4)
    defer { run.leave(4) }
    return try step(run)
  }
}
