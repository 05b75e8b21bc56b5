import IngotInference
import IngotModels
import IngotReports
import IngotTensors

extension CalibrationOutcome {
  /// Errors of outputs, and experts that were rescued from overflow.
  package var table: String {
    func names(_ roles: [Role], _ what: String) -> [String] {
      roles.map { "layer \($0.layer ?? 0), expert \($0.expert ?? 0): \(what)" }
    }
    return
      ([errors.table] + names(rescued, "rescued from overflow")
      + names(
        unrescued, "not rescued from overflow, since the recipe keeps its up or down projection as it is"))
      .joined(separator: "\n")
  }
}

extension OutputErrors {
  /// How many experts the table names.
  private static let named = 5

  /// Root mean square and largest by part, and the experts that come off worst: lengths of errors as shares of the outputs', as
  /// `verify` has them, where `all` has energies.
  package var table: String {
    let (expected, measured) = all
    var table = Table(["error of outputs", "tensors", "RMS", "largest", "at"], left: [0, 4])
    let parts = Dictionary(grouping: expected, by: \.key.kind)
    for part in TensorKind.known {
      guard let worst = parts[part]?.max(by: { ($0.value, "\($1.key)") < ($1.value, "\($0.key)") }) else {
        continue
      }
      let values = parts[part]!.map(\.value)
      table.add([
        part.rawValue, grouped(values.count), percent(values.reduce(0, +) / Double(values.count)),
        percent(worst.value), place(worst.key),
      ])
    }
    guard !measured.isEmpty else { return table.text }
    let kinds = TensorKind.mlpLinears
    var experts = Table(["worst experts", "tokens"] + kinds.map(\.rawValue) + ["measured"])
    func order(_ place: OutputErrors.Place) -> String { "layer \(place.layer), expert \(place.expert), " }
    let worst = measured.sorted { ($1.value.share, order($0.key)) < ($0.value.share, order($1.key)) }
    for (place, value) in worst.prefix(OutputErrors.named) {
      func share(_ kind: TensorKind) -> String {
        let value =
          expected[Role(kind, layer: place.layer, expert: place.expert)]
          ?? expected[Role(kind, layer: place.layer)]
        return value.map(percent) ?? ""
      }
      experts.add(
        ["layer \(place.layer), expert \(place.expert)", grouped(value.tokens)] + kinds.map(share)
          + [percent(value.share)])
    }
    return table.text + "\n" + experts.text
  }

  private func percent(_ energy: Double) -> String { fixed(100 * max(energy, 0).squareRoot(), 3) + " %" }

  private func place(_ role: Role) -> String {
    guard let layer = role.layer else { return "" }
    return role.expert.map { "layer \(layer), expert \($0)" } ?? "layer \(layer)"
  }
}

extension SequentialRun.Refits {
  package var table: String {
    all.map { refit in
      "layer \(refit.layer), router bias: expert sets changed in \(grouped(refit.tokens)) tokens held back "
        + "\(grouped(refit.changedBefore)) → \(grouped(refit.changedAfter))\(refit.wins ? "" : ", stays as it was")"
    }.joined(separator: "\n")
  }
}

extension CoverageReport {
  package var text: String {
    var lines: [String] = []
    if drawn.count > 1 {
      lines.append("drawn: \(grouped(contexts)) contexts instead of \(grouped(drawn[0]))")
    }
    if let most = starved.max(by: { $0.forced < $1.forced }) {
      lines.append(
        "forced: \(grouped(forced)) tokens to \(grouped(starved.count)) experts, most to expert \(most.expert) of layer "
          + "\(most.layer): \(grouped(most.forced)) beside \(grouped(most.tokens)) of its own")
    }
    if !uncovered.isEmpty {
      lines.append(
        "\(grouped(uncovered.count)) experts have fewer than \(grouped(wanted)): the texts have no more tokens"
      )
    } else {
      lines.append("every expert was seen with at least \(grouped(wanted)) tokens")
    }
    return lines.joined(separator: "\n")
  }
}
