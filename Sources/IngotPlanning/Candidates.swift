import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors

extension Sensitivity {
  /// Encodings to choose among in a container, by rising bits, and the one of them that groups are measured at by default; nil
  /// for one that has one encoding for everything.
  public static func candidates(_ container: ContainerTraits, for model: Model) -> (
    all: [Encoding], reference: Encoding
  )? {
    let quantized = model.tensors.filter { model.canQuantize($0) }
    let known = container.candidates.first { candidates in
      quantized.allSatisfy { $0.columns % candidates.columns == 0 }
    }
    guard let known else { return nil }
    let encodings = known.names.map { Encoding(name: $0)! }.filter { encoding in
      quantized.allSatisfy { encoding.planes($0.shape) != nil }
    }
    guard let first = encodings.first else { return nil }
    let wanted = Encoding(name: known.reference)!
    return (encodings, encodings.contains(wanted) ? wanted : first)
  }
}

extension Encoding {
  /// Whether a name is this encoding's or begins it, up to where a word ends: `trellis`, `int3 g64`, `q4`.
  public func isNamed(_ name: String) -> Bool {
    guard !name.isEmpty, description.hasPrefix(name) else { return false }
    return description.dropFirst(name.count).first.map { " -_".contains($0) } ?? true
  }
}
