import IngotInference
import IngotPlanning
import IngotQuantization
import IngotSystem
import IngotTensors

/// What was measured of some layers' tensors, before it is put together. As JSON it keeps every bit.
struct MeasuredTensors {
  /// `MeasuredLayer` of each layer, as the journal has it.
  var layers: [JSON]
  /// What each perturbed run did to the whole model.
  var groups: [(role: Role, divergence: Sensitivity.Measure)]
  /// What models of one encoding did; of those who measured the last layer.
  var uniform: [Sensitivity.Measure]

  var json: JSON {
    [
      "layers": .array(layers),
      "groups": .array(
        groups.map { group in
          var object = group.divergence.members
          object["part"] = .string(group.role.kind.rawValue)
          object["layer"] = group.role.layer.map { JSON($0) } ?? .null
          return .object(object)
        }),
      "uniform": .array(uniform.map { .object($0.members) }),
    ]
  }

  init(
    layers: [JSON], groups: [(role: Role, divergence: Sensitivity.Measure)], uniform: [Sensitivity.Measure]
  ) {
    (self.layers, self.groups, self.uniform) = (layers, groups, uniform)
  }

  /// - Returns: nil for what is none.
  init?(_ json: JSON) {
    guard let layers = json["layers"]?.array, let groups = json["groups"]?.array,
      let uniform = json["uniform"]?.array
    else { return nil }
    (self.layers, self.groups, self.uniform) = (layers, [], [])
    for group in groups {
      guard let part = group["part"]?.string, let divergence = Sensitivity.Measure(group) else { return nil }
      self.groups.append((Role(TensorKind(rawValue: part), layer: group["layer"]?.int), divergence))
    }
    for entry in uniform {
      guard let divergence = Sensitivity.Measure(entry) else { return nil }
      self.uniform.append(divergence)
    }
  }
}

extension Sensitivity.Measure {
  init(_ divergence: SensitivityPass.Divergence) {
    self.init(mean: divergence.mean, standardError: divergence.standardError)
  }

  fileprivate init?(_ json: JSON) {
    guard let mean = json["mean"]?.double else { return nil }
    self.init(mean: mean, standardError: json["standardError"]?.double)
  }

  fileprivate var members: JSONObject {
    ["mean": JSON(mean), "standardError": standardError.map { JSON($0) } ?? .null]
  }
}

/// What one layer showed, and the last one also of embedding and head, as the journal has it.
struct MeasuredLayer {
  var outputs: [Role: CandidateErrors.Errors]
  var experts: [TensorKind: [Double]]
  var loads: [Sensitivity.Load]
  var dropped: Sensitivity.Dropped

  var json: JSON {
    let roles = outputs.keys.sorted { "\($0)" < "\($1)" }
    return [
      "outputs": .array(
        roles.map { role in
          [
            "part": .string(role.kind.rawValue), "layer": role.layer.map { JSON($0) } ?? .null,
            "expert": role.expert.map { JSON($0) } ?? .null,
            "searched": .array(outputs[role]!.searched.map { $0.map { JSON($0) } ?? .null }),
            "made": .array(outputs[role]!.made.map { $0.map { JSON($0) } ?? .null }),
          ]
        }),
      "experts": .object(
        experts.sorted { $0.key.rawValue < $1.key.rawValue }.reduce(into: [:]) {
          $0[$1.key.rawValue] = .array($1.value.map { JSON($0) })
        }),
      "tokens": .array(loads.map { JSON($0.tokens) }), "mass": .array(loads.map { JSON($0.mass) }),
      "dropped": dropped.json,
    ]
  }

  init(
    outputs: [Role: CandidateErrors.Errors], experts: [TensorKind: [Double]], loads: [Sensitivity.Load],
    dropped: Sensitivity.Dropped
  ) {
    self.outputs = outputs
    self.experts = experts
    self.loads = loads
    self.dropped = dropped
  }

  /// - Parameter path: of the file that has it, for errors.
  init(_ json: JSON, layer: Int, candidates: Int, path: String) throws(FormatError) {
    dropped = .init(journal: json["dropped"])
    (outputs, experts) = ([:], [:])
    for entry in json["outputs"]?.array ?? [] {
      guard let part = entry["part"]?.string.map({ TensorKind(rawValue: $0) }),
        let searched = entry["searched"]?.array,
        let made = entry["made"]?.array, searched.count == candidates, made.count == candidates
      else {
        throw FormatError(
          path: path, expected: "\(candidates) errors of a tensor of layer \(layer)", found: entry.kind)
      }
      outputs[Role(part, layer: entry["layer"]?.int, expert: entry["expert"]?.int)] = .init(
        searched: searched.map(\.double), made: made.map(\.double))
    }
    for (key, value) in json["experts"]?.object ?? [:] {
      experts[TensorKind(rawValue: key)] = (value.array ?? []).compactMap(\.double)
    }
    loads = zip(json["tokens"]?.array ?? [], json["mass"]?.array ?? []).map {
      .init(tokens: $0.int ?? 0, mass: $1.double ?? 0)
    }
  }
}

extension Sensitivity.Dropped {
  init(_ found: DroppedOutputs) {
    self.init(
      scores: found.scores, squares: found.squares, counts: found.counts, outputs: found.errors,
      carried: found.carried)
  }

  fileprivate var json: JSON {
    [
      "scores": .array(scores.map { JSON($0) }), "squares": .array(squares.map { JSON($0) }),
      "counts": .array(counts.map { JSON($0) }), "outputs": .array(outputs.map { JSON($0) }),
      "carried": JSON(carried),
    ]
  }

  /// What `json` gave: the journal is our own.
  fileprivate init(journal json: JSON?) {
    func list(_ key: String) -> [Double] { (json?[key]?.array ?? []).compactMap(\.double) }
    self.init(
      scores: list("scores"), squares: list("squares"),
      counts: (json?["counts"]?.array ?? []).compactMap(\.int), outputs: list("outputs"),
      carried: json?["carried"]?.int ?? 0)
  }
}
