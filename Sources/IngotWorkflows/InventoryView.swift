import IngotFormats
import IngotModels
import IngotReports
import IngotSystem
import IngotTensors

/// Stored tensors, metadata and what is broken, for people or as JSON.
package struct InventoryView {
  package let inventory: Inventory
  /// Why the files are not read as a model.
  private let reason: FormatError?

  package init(_ inventory: Inventory, reason: FormatError? = nil) {
    self.inventory = inventory
    self.reason = reason
  }

  /// - Parameter listing: every tensor, instead of one line for each pattern of names.
  package func text(listing: Bool) -> String {
    var lines: [String] = []
    if let reason { lines.append("not read as a model: \(reason)") }
    lines.append(
      "\(inventory.format.isEmpty ? "no whole file" : inventory.format): \(grouped(inventory.entries.count)) tensors, "
        + "\(grouped(inventory.values)) values, \(grouped(inventory.bytes)) bytes in \(inventory.files.count) files"
    )
    for (key, value) in inventory.metadata.prefix(listing ? 0 : 200) { lines.append("  \(key) = \(value)") }
    if inventory.entries.isEmpty {
      lines.append("no tensors: metadata alone, such as a vocabulary")
    } else if listing {
      var table = Table(["tensor", "type", "shape", "bytes", "offset"], left: [0, 1, 2])
      var path = ""
      for entry in inventory.entries {
        if entry.path != path {
          path = entry.path
          table.add([Folder.name(of: path), "", "", "", ""])
        }
        table.add([
          "  " + printable(entry.name, limit: 200), entry.type, "\(entry.shape)", grouped(entry.bytes),
          grouped(entry.offset),
        ])
      }
      lines.append(table.text)
    } else {
      var table = Table(["names", "tensors", "type", "shape", "bytes"], left: [0, 2, 3])
      for row in inventory.patterns {
        table.add([
          printable(row.pattern, limit: 200), grouped(row.count), row.type, "\(row.shape)",
          grouped(row.bytes),
        ])
      }
      lines.append(table.text)
      lines.append(
        "stored as  "
          + inventory.bytesByType.map { "\($0.type) \(grouped($0.bytes))" }.joined(separator: ", "))
    }
    for problem in inventory.problems { lines.append("not whole: \(problem.error)") }
    return lines.joined(separator: "\n")
  }

  package func record(listing: Bool) -> JSON {
    var metadata: JSONObject = [:]
    for (key, value) in inventory.metadata { metadata[key] = .string(value) }
    var types: JSONObject = [:]
    for (type, bytes) in inventory.bytesByType { types[type] = JSON(bytes) }
    var object: JSONObject = [
      "format": .string(inventory.format), "tensorCount": JSON(inventory.entries.count),
      "values": JSON(inventory.values), "bytes": JSON(inventory.bytes), "bytesByType": .object(types),
      "files": .array(inventory.files.map { .string($0) }), "metadata": .object(metadata),
      "problems": .array(
        inventory.problems.map { ["path": .string($0.path), "what": .string("\($0.error)")] }),
    ]
    if let reason { object["notReadAsModel"] = .string("\(reason)") }
    if listing {
      object["tensors"] = .array(
        inventory.entries.map {
          [
            "name": .string($0.name), "type": .string($0.type), "shape": .array($0.shape.map { JSON($0) }),
            "bytes": JSON($0.bytes), "file": .string($0.path), "offset": JSON($0.offset),
          ]
        })
    } else {
      object["patterns"] = .array(
        inventory.patterns.map {
          [
            "pattern": .string($0.pattern), "tensors": JSON($0.count), "type": .string($0.type),
            "shape": .array($0.shape.map { JSON($0) }), "bytes": JSON($0.bytes),
          ]
        })
    }
    return .object(object)
  }
}
