import IngotKernels
import IngotModels
import IngotTensors

extension Plan {
  /// What to say when a model is made with codes of less than four bits and without statistics, which llama.cpp refuses for many of
  /// its types: they are made here, at a price.
  var lackOfImportance: String? {
    var names = Set<String>()
    for assignment in assignments.values where assignment.quantizer != nil {
      let wantsImportance =
        switch assignment.encoding {
        case .ggml(let type): type.wantsImportance
        case .trellis(let scheme): scheme.bits < 4
        case .tiles(let scheme): scheme.shape.bits < 4
        case .affine(let scheme): scheme.bits < 4
        case .dense, .blockScaled, .microScaled, .columnPacked: false
        }
      if wantsImportance { names.insert("\(assignment.encoding)") }
    }
    guard !names.isEmpty else { return nil }
    return
      "\(names.sorted().joined(separator: ", ")) without calibration statistics: at so few bits expect several times the KL "
      + "divergence that the same bytes have with them; calibrate the model on a text first, or take more bits"
  }
}
