import IngotModels
import IngotSystem
import IngotTensors

/// Bytes by role and encoding: bars and tables. What stands at the key is as `ByteRecord` has it.
struct ByteShares {
  let figures: Figures
  let key: String

  var markup: Markup {
    .element("div", ["class": "pair"], bars, totals.markup) + table.folded
  }

  /// Encodings that have a colour of their own, the largest; the others share the last one.
  private var coloured: [String] {
    figures.list(key + ".encodings").prefix(Chart.colours - 1).compactMap { $0["encoding"]?.string }
  }

  private var bars: Markup {
    let coloured = coloured
    let last = Chart.colours - 1
    let bars = figures.list(key + ".groups").enumerated().map { index, group in
      let name = group["group"]?.string ?? ""
      let place = "\(key).groups.\(index)."
      let parts = (group["parts"]?.array ?? []).enumerated().map { part, value in
        let encoding = value["encoding"]?.string ?? ""
        let bytes = value["bytes"]?.int ?? 0
        return BarChart.Part(
          series: coloured.firstIndex(of: encoding) ?? last, value: Double(bytes),
          title: "\(name), \(encoding): \(decimal(bytes))", key: "\(place)parts.\(part).bytes")
      }
      return BarChart.Bar(
        name: printable(name),
        value: figures.span(place + "bytes", .bytes) + " · " + figures.span(place + "share", .percent(1)),
        parts: parts)
    }
    let hasOthers = figures.list(key + ".encodings").count > coloured.count
    return BarChart(
      title: "Bytes by role", description: "One bar for each kind of tensor, its encodings in colours.",
      bars: bars, legend: coloured.map { printable($0) } + (hasOthers ? ["other"] : [])
    ).markup
  }

  private var totals: DataTable {
    var table = DataTable("By encoding", ["encoding", "tensors", "bytes", "share"])
    for index in figures.list(key + ".encodings").indices {
      let row = "\(key).encodings.\(index)."
      table.add([
        figures.name(row + "encoding"), figures(row + "tensors", .count), figures(row + "bytes", .count),
        figures(row + "share", .percent(2)),
      ])
    }
    table.add(["all", figures(key + ".tensors", .count), figures(key + ".bytes", .count), ""])
    table.totals = 1
    return table
  }

  private var table: DataTable {
    var table = DataTable(
      "Every role and encoding", ["role", "encoding", "tensors", "parameters", "bytes", "bits/weight"],
      left: [0, 1])
    for index in figures.list(key + ".rows").indices {
      let row = "\(key).rows.\(index)."
      table.add([
        figures.name(row + "role"), figures.name(row + "encoding"), figures(row + "tensors", .count),
        figures(row + "parameters", .count), figures(row + "bytes", .count),
        figures(row + "bitsPerWeight", .fixed(3)),
      ])
    }
    return table
  }
}
