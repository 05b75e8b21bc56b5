import IngotInference
import IngotModels
import IngotSystem
import IngotTensors

extension ExpertLedger {
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
            "before its down projection, more than F16 holds; rescuing overflow rescales it"))
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
}

extension ExpertLedger.Entry {
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
