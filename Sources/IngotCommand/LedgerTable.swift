import IngotInference
import IngotModels
import IngotSystem
import IngotTensors

extension EvidenceLedger {
  /// Experts in which something passed what F16 holds, one line each.
  var overflows: [String] {
    func line(_ entry: Entry, _ peak: Float, _ what: String) -> String {
      "layer \(entry.layer), expert \(entry.expert): \(significant(Double(peak))) \(what)"
    }
    return entries.flatMap { entry in
      var lines: [String] = []
      if entry.innerPeak > 65504 {
        lines.append(
          line(
            entry, entry.innerPeak,
            "before its down projection, more than F16 holds (quantize --rescue-overflow)"))
      }
      if entry.outputPeak > 65504 {
        lines.append(
          line(
            entry, entry.outputPeak,
            "behind its down projection, more than F16 holds; an engine must add up in F32 or BF16"))
      }
      return lines
    }
  }

  /// The ledger for programs.
  var json: JSONObject {
    let layers = Dictionary(grouping: entries, by: \.layer).sorted { $0.key < $1.key }
    return [
      "layers": .array(
        layers.map { layer, entries in ["layer": JSON(layer), "experts": .array(entries.map(\.json))] })
    ]
  }

  /// A line for every layer, or for every expert.
  func table(experts: Bool) -> String {
    if experts {
      var table = Table(
        ["layer", "expert", "tokens", "forced", "gate mass", "rank", "unseen", "peak"], left: [])
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

extension EvidenceLedger.Entry {
  /// The entry for programs, without its layer.
  var json: JSON {
    [
      "expert": JSON(expert), "tokens": JSON(tokens), "gateMass": JSON(gateMass),
      "forcedTokens": JSON(forced),
      "effectiveRank": JSON(effectiveRank), "unseenEnergy": JSON(unseenEnergy),
      "innerPeak": JSON(Double(innerPeak)),
      "outputPeak": JSON(Double(outputPeak)),
    ]
  }

  /// - Returns: nil when `json` is something else.
  init?(_ json: JSON, layer: Int) {
    guard let expert = json["expert"]?.int, let tokens = json["tokens"]?.int,
      let mass = json["gateMass"]?.double, let forced = json["forcedTokens"]?.int,
      let rank = json["effectiveRank"]?.double, let unseen = json["unseenEnergy"]?.double,
      let inner = json["innerPeak"]?.double, let output = json["outputPeak"]?.double
    else { return nil }
    self.init(
      layer: layer, expert: expert, tokens: tokens, gateMass: mass, forced: forced, effectiveRank: rank,
      unseenEnergy: unseen, innerPeak: Float(inner), outputPeak: Float(output))
  }
}
