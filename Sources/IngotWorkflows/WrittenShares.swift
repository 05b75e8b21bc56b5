import IngotFormats
import IngotModels
import IngotSystem
import IngotTensors

extension WrittenFile {
  /// What tells shares of a kind that are a description behind bytes, and the model that they are of.
  private static let parts: [String: (kind: Kind, model: String)] = [
    "verification": (.verificationShare, "candidate"), "sensitivity": (.sensitivityShare, "model"),
  ]

  /// A share that is a description behind bytes.
  static func part(_ path: String) throws(FormatError) -> WrittenFile {
    let json = try ShareFile.description(path)
    let (facts, extra) = (json["facts"], json["extra"])
    guard let part = extra?["kind"]?.string.flatMap({ parts[$0] }) else {
      throw FormatError(
        path: path, expected: "a share of a kind that \(Tool.name) knows",
        found: printable(extra?["kind"]?.string ?? "none"))
    }
    let layers = extra?["layers"]?.array?.compactMap(\.int) ?? []
    return WrittenFile(
      part.kind, tool: facts?["tool"]?.string,
      model: facts?[part.model]?.object?.keys.sorted().first,
      [
        ("share", "\((json["share"]?.int ?? 0) + 1) of \(json["shares"]?.int ?? 0)"),
        ("layers", layers.count == 2 ? "\(layers[0]) to \(layers[1] - 1)" : nil),
        ("contexts of all shares", facts?["contexts"]?.int.map(grouped)),
        ("original", facts?["original"]?.object?.keys.sorted().first),
      ])
  }
}
