import IngotSystem
import IngotTensors

extension Recipe {
  /// The recipes that have names, in the order they are listed.
  public static let builtIn: [Recipe] = [texts, trellisTexts, ggufTexts, mlxTexts, packed, tileTexts].joined()
    .map { text in
      do {
        return try Recipe(yaml: text, path: "built-in recipe")
      } catch {
        preconditionFailure("built-in recipe: \(error)")
      }
    }

  /// The recipe of a built-in name, in letters of either case, or of a YAML file at that path.
  public static func named(_ name: String) throws(FormatError) -> Recipe {
    if let recipe = builtIn.first(where: { $0.name == name }) { return recipe }
    guard Folder.kind(name) == .file else {
      if let recipe = builtIn.first(where: { $0.name == name.lowercased() }) { return recipe }
      let names = builtIn.map(\.name)
      throw FormatError(
        path: name,
        expected: "a YAML file or one of the recipes \(names.joined(separator: ", "))",
        found: "neither" + (closestName(to: name, among: names).map { "; did you mean \($0)?" } ?? ""))
    }
    let bytes = try Bytes.mapping(name)
    guard bytes.count <= sizeLimit, let text = String(validating: bytes.array, as: UTF8.self) else {
      throw FormatError(
        path: name, expected: "a recipe in UTF-8 of at most \(sizeLimit) bytes", found: "\(bytes.count) bytes"
      )
    }
    return try Recipe(yaml: text, path: name)
  }

  private static let texts = [
    """
    name: int8
    summary: 8 bits everywhere, groups of 32 with a zero point
    rules:
      - encoding: int8 g32 zero f16
        quantizer: mse
    """,
    """
    name: int4
    summary: 4 bits everywhere, groups of 64 with a zero point
    rules:
      - encoding: int4 g64 zero f16
        quantizer: mse
    """,
    """
    name: int3
    summary: 3 bits everywhere, groups of 64 with a zero point
    rules:
      - encoding: int3 g64 zero f16
        quantizer: mse
    """,
    """
    name: mixed-4-8
    summary: experts at 4 bits; attention, embedding and head at 8
    rules:
      - parts: [attention, embedding, head]
        encoding: int8 g32 zero f16
        quantizer: mse
      - parts: [experts, mlp]
        encoding: int4 g64 zero f16
        quantizer: mse
    """,
  ]
}
