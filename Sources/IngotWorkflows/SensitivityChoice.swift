import IngotFormats
import IngotModels
import IngotPlanning
import IngotQuantization
import IngotSystem
import IngotTensors

/// What is measured: candidates, the reference and the encodings of whole models.
struct SensitivityChoice {
  let candidates: [Encoding]
  let reference: Encoding
  /// Encodings that whole models are quantized to, to see how parts add up.
  let uniform: [Encoding]
  /// That plans are run whole for.
  let formats: [String]

  /// - Parameters:
  ///   - more: names of encodings that are measured too.
  ///   - excluded: names of encodings, or what they begin with, that are not.
  init(_ model: Model, formats: [String], more: [String], excluded: [String], reference: String?) throws {
    var candidates: [Encoding] = []
    var uniform: [Encoding] = []
    var usual: Encoding?
    for format in formats {
      guard let known = Format.named(format).flatMap({ Sensitivity.candidates($0.traits, for: model) }) else {
        throw RequestError(
          .format,
          "\(format): expected \(Format.plannedNames), with encodings that fit this model"
        )
      }
      candidates += known.all.filter { !candidates.contains($0) }
      usual = usual ?? known.reference
      // Around the bits that plans have on the whole, and where the best of their tensors are; of encodings that a search fills soon.
      let measured = known.all.filter { encoding in !excluded.contains { encoding.isNamed($0) } }
      let soon = measured.filter { $0.quick == $0 }
      for bits in [3.4, 4.4, 6.4] where !measured.isEmpty {
        let nearest = (soon.isEmpty ? measured : soon).min {
          abs($0.bitsPerWeight - bits) < abs($1.bitsPerWeight - bits)
        }!
        if !uniform.contains(nearest) { uniform.append(nearest) }
      }
    }
    func encoding(_ name: String, _ member: RequestError.Member) throws(RequestError) -> Encoding {
      guard let encoding = Encoding(name: name), !Quantizer.filling(encoding).isEmpty,
        model.tensors.allSatisfy({ !model.canQuantize($0) || encoding.planes($0.shape) != nil })
      else {
        throw RequestError(
          member, "'\(name)': expected an encoding that fits every tensor of the model")
      }
      return encoding
    }
    for name in more {
      let encoding = try encoding(name, .candidates)
      if !candidates.contains(encoding) { candidates.append(encoding) }
    }
    try excluded.requireNames(among: candidates)
    candidates.removeAll { encoding in excluded.contains { encoding.isNamed($0) } }
    if let reference { usual = try encoding(reference, .reference) }
    guard let chosen = usual else { throw RequestError(.format, "expected at least one") }
    if !candidates.contains(chosen) { candidates.append(chosen) }
    self.candidates = candidates
    self.reference = chosen
    self.uniform = uniform
    self.formats = formats.reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
  }
}

extension [String] {
  /// Refuses a name that is none of the encodings', nor what one begins with.
  func requireNames(among encodings: [Encoding]) throws(RequestError) {
    guard let wrong = first(where: { name in !encodings.contains { $0.isNamed(name) } }) else { return }
    throw RequestError(
      .exclude,
      "'\(printable(wrong))': expected an encoding, or what some begin with, among "
        + encodings.map(\.description).joined(separator: ", "))
  }
}

extension Encoding {
  /// Of a large matrix.
  package var bitsPerWeight: Double { Double(8 * (bytes([1024, 4096]) ?? 0)) / Double(1024 * 4096) }
}
