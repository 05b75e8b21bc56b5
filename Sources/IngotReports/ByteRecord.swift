import IngotModels
import IngotSystem
import IngotTensors

/// Where the bytes of a model go, for a report: `rows` by role and encoding in the order of the forward pass,
/// `groups` of roles that play together and `encodings`, the largest first.
public struct ByteRecord {
  private let rows: [Plan.Row]

  public init(_ rows: [Plan.Row]) { self.rows = rows }

  private func bytes(_ rows: [Plan.Row]) -> Int { rows.reduce(0) { $0 + $1.bytes } }
  private func tensors(_ rows: [Plan.Row]) -> Int { rows.reduce(0) { $0 + $1.tensors } }

  private func share(_ rows: [Plan.Row]) -> JSON {
    JSON(Double(bytes(rows)) / Double(max(bytes(self.rows), 1)))
  }

  public var json: JSON {
    [
      "tensors": JSON(tensors(rows)), "bytes": JSON(bytes(rows)), "groups": .array(groups),
      "encodings": .array(encodings),
      "rows": .array(
        rows.map { row in
          [
            "role": .string(row.kind.rawValue), "encoding": .string("\(row.assignment.encoding)"),
            "tensors": JSON(row.tensors), "parameters": JSON(row.parameters), "bytes": JSON(row.bytes),
            "bitsPerWeight": JSON(8 * Double(row.bytes) / Double(max(row.parameters, 1))),
          ]
        }),
    ]
  }

  private var groups: [JSON] {
    sorted(rows) { $0.kind.group }.map { group, rows in
      [
        "group": .string(group), "bytes": JSON(bytes(rows)), "share": share(rows),
        "parts": .array(
          sorted(rows) { "\($0.assignment.encoding)" }.map { encoding, rows in
            ["encoding": .string(encoding), "bytes": JSON(bytes(rows))]
          }),
      ]
    }
  }

  private var encodings: [JSON] {
    sorted(rows) { "\($0.assignment.encoding)" }.map { encoding, rows in
      [
        "encoding": .string(encoding), "tensors": JSON(tensors(rows)), "bytes": JSON(bytes(rows)),
        "share": share(rows),
      ]
    }
  }

  /// Rows of one name together, those of most bytes first, of equal ones by name.
  private func sorted(_ rows: [Plan.Row], by name: (Plan.Row) -> String) -> [(String, [Plan.Row])] {
    Dictionary(grouping: rows, by: name).map { ($0.key, $0.value) }
      .sorted { (bytes($1.1), $0.0) < (bytes($0.1), $1.0) }
  }
}
