import IngotModels
import IngotSystem
import IngotTensors

/// Reads a checkpoint as it is published: dense tensors, and codes with scales beside them.
struct SafeTensorsReader {
  let files: SafeTensorsFiles
  let keepUnknown: Bool

  init(_ path: String, keepUnknown: Bool) throws(FormatError) {
    files = try SafeTensorsFiles(path)
    self.keepUnknown = keepUnknown
  }

  func read() throws(FormatError) -> Model {
    let family = try Family.any(files.config).placed(among: files.stored.keys)
    let blueprint = try family.blueprint(files.config)
    let tensors = try Pairing(files).tensors { tensor throws(FormatError) in
      try family.logical(tensor, blueprint) ?? (keepUnknown || family.isGeneric ? [tensor] : nil)
    }
    var model = try Model(
      family: family, blueprint: blueprint, tensors: tensors,
      sideFiles: try files.sideFiles(),
      path: files.location.folder, format: Format.safeTensors.name, weightFiles: files.paths)
    model.remark = QuantizationConfig.remark(files.config, hasScales: !model.activationScales.isEmpty)
    return model
  }
}
