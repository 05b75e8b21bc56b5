import IngotModels
import IngotTensors

extension Plan {
  /// What to say when a model is made with types of few bits that llama.cpp refuses without an importance matrix: they are
  /// made here without one, at a price.
  var lackOfImportance: String? {
    var names = Set<String>()
    for assignment in assignments.values where assignment.quantizer != nil {
      if case .ggml(let type) = assignment.encoding, type.wantsImportance { names.insert("\(type)") }
    }
    guard !names.isEmpty else { return nil }
    return
      "\(names.sorted().joined(separator: ", ")) without calibration statistics: at so few bits expect several times the KL "
      + "divergence that the same bytes have with them; calibrate the model on a text first, or take more bits"
  }
}
