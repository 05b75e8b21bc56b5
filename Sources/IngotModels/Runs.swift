/// Numbers such as `0-6, 9`.
public enum Runs {
  public static func text(_ numbers: [Int]) -> String {
    var runs: [ClosedRange<Int>] = []
    for number in numbers.sorted() {
      if let last = runs.last, number == last.upperBound + 1 {
        runs[runs.count - 1] = last.lowerBound...number
      } else {
        runs.append(number...number)
      }
    }
    return runs.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" }
      .joined(separator: ", ")
  }

  /// - Returns: nil for a text of another form, falling ranges, numbers above `most` or more numbers than that.
  public static func numbers(_ text: String, most: Int = 1 << 20) -> [Int]? {
    var numbers: [Int] = []
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      var part = part
      while part.first == " " { part.removeFirst() }
      while part.last == " " { part.removeLast() }
      let ends = part.split(separator: "-", omittingEmptySubsequences: false)
      guard ends.count <= 2, let first = ends.first, let low = Int(first), low >= 0, first.first != "+",
        let high = ends.count == 2 ? Int(ends[1]) : low, high >= low, high <= most,
        high - low < most - numbers.count
      else { return nil }
      numbers += low...high
    }
    return numbers
  }
}
