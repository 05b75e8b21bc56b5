import IngotInference
import IngotModels
import IngotSystem
import IngotTensors

extension ExpertLedger {
  /// A line for every layer, or for every expert.
  package func table(experts: Bool) -> String {
    if experts {
      var table = Table(
        ["layer", "expert", "tokens", "forced", "routing weight", "rank", "unseen", "peak"], left: [])
      for entry in entries {
        table.add([
          "\(entry.layer)", "\(entry.expert)", grouped(entry.tokens), grouped(entry.forced),
          fixed(entry.gateMass, 1), fixed(entry.effectiveRank, 1), fixed(100 * entry.unseenEnergy, 1) + " %",
          significant(Double(entry.innerPeak)),
        ])
      }
      return table.text
    }
    var table = Table(
      ["layer", "tokens: least", "median", "most", "without", "forced", "least rank", "most unseen", "peak"],
      left: [])
    for (layer, entries) in Dictionary(grouping: entries, by: \.layer).sorted(by: { $0.key < $1.key }) {
      let tokens = entries.map(\.tokens).sorted()
      table.add([
        "\(layer)", grouped(tokens[0]), grouped(tokens[tokens.count / 2]), grouped(tokens[tokens.count - 1]),
        "\(tokens.filter { $0 == 0 }.count)", grouped(entries.reduce(0) { $0 + $1.forced }),
        fixed(entries.map(\.effectiveRank).min()!, 1),
        fixed(100 * entries.map(\.unseenEnergy).max()!, 1) + " %",
        significant(Double(entries.map(\.innerPeak).max()!)),
      ])
    }
    return table.text
  }
}
