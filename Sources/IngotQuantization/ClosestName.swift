/// The name that somebody may have meant: of the fewest letters to change, leave out, add or swap with their neighbour, case aside.
///
/// - Returns: nil when none is near, a third of the letters at most being wrong; of equally near ones the first.
package func closestName(to name: String, among names: [String]) -> String? {
  let wanted = Array(name.lowercased())
  let distances = names.map { changes(wanted, Array($0.lowercased())) }
  guard let least = distances.min(), least <= max(wanted.count / 3, 1) else { return nil }
  return names[distances.firstIndex(of: least)!]
}

/// Optimal string alignment distance (Damerau and Levenshtein, no letter being moved twice).
private func changes(_ some: [Character], _ others: [Character]) -> Int {
  var before: [Int] = []
  var last = Array(0...others.count)
  for (row, letter) in some.enumerated() {
    var next = [row + 1]
    for (column, other) in others.enumerated() {
      var least = min(last[column + 1] + 1, next[column] + 1, last[column] + (letter == other ? 0 : 1))
      if row > 0, column > 0, letter == others[column - 1], some[row - 1] == other {
        least = min(least, before[column - 1] + 1)
      }
      next.append(least)
    }
    (before, last) = (last, next)
  }
  return last[others.count]
}
