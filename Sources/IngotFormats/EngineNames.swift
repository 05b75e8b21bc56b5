import IngotModels
import IngotSystem

extension Model {
  /// Refuses a family whose experts engines read as stacks of dense values, for containers of packed modules.
  ///
  /// - Throws: FormatError that names the way out.
  func requireEngineNames(_ format: String) throws(FormatError) -> Model {
    guard family.hasEngineNames else {
      throw FormatError(
        path: path, expected: "a family whose experts transformers and vLLM read as modules of their own",
        found: "\(family.name), whose experts they read as stacks, which \(format) has no codes for; "
          + "write an .ingot file, or another format that has a place for the family")
    }
    return self
  }

  /// Refuses a family that mlx-lm has no class for.
  func requireMLXClass() throws(FormatError) {
    guard family.mlx != nil else {
      throw FormatError(
        path: path, expected: "a family that mlx-lm has a class for",
        found: "\(family.name); write another format")
    }
  }
}
