import IngotModels
import IngotSystem

extension Model {
  /// Refuses a family whose checkpoints hold stacks that are taken apart here, for containers that engines read by name.
  ///
  /// - Throws: FormatError that names the way out.
  func requireEngineNames(_ format: String) throws(FormatError) -> Model {
    guard family.hasEngineNames else {
      throw FormatError(
        path: path, expected: "a family that \(format) has names for",
        found: "\(family.name), whose experts engines read as stacks that are not written yet; "
          + "write an .ingot file")
    }
    return self
  }

  /// Refuses a family whose tensors mlx-lm wants otherwise than checkpoints have them.
  func requireMLXNames() throws(FormatError) {
    guard family.hasMLXNames else {
      throw FormatError(
        path: path, expected: "a family whose tensors mlx-lm takes as they are",
        found: "\(family.name); write another format")
    }
  }
}
