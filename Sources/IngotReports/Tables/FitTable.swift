import IngotModels
import IngotPlanning
import IngotQuantization
import IngotTensors

/// What fits where, as text.
package enum FitTable {
  /// In a unit that fits; below zero where something lacks.
  package static func size(_ bytes: Int) -> String { bytes < 0 ? "-" + decimal(-bytes) : decimal(bytes) }

  /// An engine's recipes against machines, in as many tables as keep lines within 100 columns.
  ///
  /// - Parameter contextAsked: cells show GB to spare at that context instead of the longest one that fits.
  package static func machines(
    _ engine: Engine, _ choices: [EngineChoice], _ cells: [[FitCell]], contextAsked: Bool
  ) -> String {
    let rows = cells.map { cells in (cells[0].machine.name, cells.map { text($0, contextAsked) }) }
    let used = folded(rows.filter { row in row.1.contains { $0 != "-" } })
    func table(_ columns: Range<Int>) -> String {
      let some = choices[columns]
      var table = Table([engine.rawValue] + some.map(\.recipe.name))
      table.add(["bits"] + some.map { fixed($0.bits, 2) })
      table.add(["size"] + some.map { size($0.weights.total) })
      for (name, cells) in used { table.add([name] + cells[columns]) }
      return table.text
    }
    var tables: [String] = []
    var first = 0
    while first < choices.count {
      var end = choices.count
      while end > first + 1, table(first..<end).split(separator: "\n").contains(where: { $0.count > 100 }) {
        end -= 1
      }
      tables.append(table(first..<end))
      first = end
    }
    let none = rows.filter { row in row.1.allSatisfy { $0 == "-" } }.map(\.0)
    return tables.joined(separator: "\n\n")
      + (none.isEmpty ? "" : "\nnothing fits on \(none.joined(separator: ", "))")
  }

  /// Three machines or more, one after the other, of which all is equal are one row.
  private static func folded(_ rows: [(String, [String])]) -> [(String, [String])] {
    var folded: [(String, [String])] = []
    var rest = rows[...]
    while let (name, cells) = rest.first {
      let alike = rest.prefix { $0.1 == cells }
      let count = alike.count < 3 ? 1 : alike.count
      folded.append((count == 1 ? name : "\(name) … \(alike.last!.0)", cells))
      rest = rest.dropFirst(count)
    }
    return folded
  }

  private static func text(_ cell: FitCell, _ contextAsked: Bool) -> String {
    if contextAsked, let fit = cell.fit, fit.fits { return size(fit.left) }
    if !contextAsked, let longest = cell.longestContext {
      return longest >= 1024 ? "\(longest / 1024)k" : "\(longest)"
    }
    return cell.diskBound.map { fixed($0, 1) + "/s" } ?? "-"
  }

  /// What each recipe takes of one machine, in GB, and how the layers lie.
  package static func machine(_ rows: [(EngineChoice, Fit)]) -> String {
    var table = Table(
      [
        "engine", "recipe", "bits", "weights", "cache", "buffers", "may take", "to spare", "other", "at most",
      ],
      left: [0, 1])
    for (choice, fit) in rows {
      table.add([
        choice.engine.rawValue, choice.recipe.name, fixed(choice.bits, 2), size(fit.weights),
        size(fit.cache), size(fit.buffers), size(fit.capacity), size(fit.left),
        fit.inMainMemory + fit.onDisk > 0 ? size(fit.inMainMemory + fit.onDisk) : "",
        fit.bound.map { fixed($0, $0 < 10 ? 1 : 0) + "/s" } ?? "",
      ])
    }
    let layouts = Set(rows.map(\.1.layout)).subtracting([""])
    return ([table.text] + (layouts.count <= 3 ? layouts.sorted() : [])).joined(separator: "\n")
  }

  /// Recipes that fit beside the best one; nil for none.
  package static func others(_ rows: ArraySlice<(EngineChoice, Fit)>) -> String? {
    guard !rows.isEmpty else { return nil }
    var table = Table(["also fits", "for", "bits", "to spare"], left: [0, 1])
    for (choice, fit) in rows {
      table.add([choice.recipe.name, choice.engine.rawValue, fixed(choice.bits, 2), size(fit.left)])
    }
    return table.text
  }
}
