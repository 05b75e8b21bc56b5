import Models
import Tensors

/// Reads a checkpoint as it is published: dense tensors, and FP8 with block scales.
struct SafeTensorsReader {
  let files: SafeTensorsFiles
  let keepUnknown: Bool

  init(_ path: String, keepUnknown: Bool) throws(FormatError) {
    files = try SafeTensorsFiles(path)
    self.keepUnknown = keepUnknown
  }

  func read() throws(FormatError) -> Model {
    let architecture = try Architecture.of(files.config)
    let numbers = try architecture.hyperparameters(files.config)
    let tensors = try Pairing(files).tensors { name in
      architecture.role(of: name, numbers) ?? (keepUnknown ? Role(.unknown, name: name) : nil)
    }
    return try Model(
      architecture: architecture, hyperparameters: numbers, tensors: tensors,
      sideFiles: try files.sideFiles(),
      path: files.location.folder, format: Format.safeTensors.name, weightFiles: files.paths)
  }
}
