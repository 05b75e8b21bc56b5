import Inference
import Models
import Tensors

extension EvidenceLedger {
  /// The ledger for programs.
  var json: JSONObject {
    let layers = Dictionary(grouping: entries, by: \.layer).sorted { $0.key < $1.key }
    return [
      "layers": .array(
        layers.map { layer, entries in
          [
            "layer": JSON(layer),
            "experts": .array(
              entries.map {
                [
                  "expert": JSON($0.expert), "tokens": JSON($0.tokens), "gateMass": JSON($0.gateMass),
                  "effectiveRank": JSON($0.effectiveRank), "unseenEnergy": JSON($0.unseenEnergy),
                  "innerPeak": JSON(Double($0.innerPeak)),
                ]
              }),
          ]
        })
    ]
  }

  /// A line for every layer, or for every expert.
  func table(experts: Bool) -> String {
    if experts {
      var table = Table(["layer", "expert", "tokens", "gate mass", "rank", "unseen", "peak"], left: [])
      for entry in entries {
        table.add([
          "\(entry.layer)", "\(entry.expert)", grouped(entry.tokens), fixed(entry.gateMass, 1),
          fixed(entry.effectiveRank, 1), fixed(100 * entry.unseenEnergy, 1) + " %",
          significant(Double(entry.innerPeak)),
        ])
      }
      return table.text
    }
    var table = Table(
      ["layer", "tokens: least", "median", "most", "without", "least rank", "most unseen", "peak"], left: [])
    for (layer, entries) in Dictionary(grouping: entries, by: \.layer).sorted(by: { $0.key < $1.key }) {
      let tokens = entries.map(\.tokens).sorted()
      table.add([
        "\(layer)", grouped(tokens[0]), grouped(tokens[tokens.count / 2]), grouped(tokens[tokens.count - 1]),
        "\(tokens.filter { $0 == 0 }.count)", fixed(entries.map(\.effectiveRank).min()!, 1),
        fixed(100 * entries.map(\.unseenEnergy).max()!, 1) + " %",
        significant(Double(entries.map(\.innerPeak).max()!)),
      ])
    }
    return table.text
  }
}
