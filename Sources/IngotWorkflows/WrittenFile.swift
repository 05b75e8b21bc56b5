import IngotFormats
import IngotModels
import IngotPlanning
import IngotQuantization
import IngotReports
import IngotSystem
import IngotTensors

/// A file that this tool writes beside models: what it is, what made it, for which model, and what it is for.
public struct WrittenFile: Sendable {
  /// What the file is: `a plan`.
  public var kind: String
  /// The command that wrote it, and the version where the file has it.
  public var madeBy: String
  /// The model that it is of, as the file names it; nil where it does not.
  public var model: String?
  /// The main figures, each with its name.
  public var figures: [(name: String, value: String)] = []
  /// The command that uses it; nil where it is for people.
  public var use: String?

  init(
    _ kind: String, madeBy: String, model: String? = nil, _ figures: [(String, String?)] = [],
    use: String? = nil
  ) {
    (self.kind, self.madeBy, self.model, self.use) = (kind, madeBy, model, use)
    self.figures = figures.compactMap { name, value in value.map { (name, $0) } }
  }

  /// Reads what a file says of itself.
  ///
  /// - Returns: nil for a file that is none of these, such as one of weights.
  /// - Throws: FormatError for one that cannot be read, or is of a kind that it is not as that kind is.
  public static func recognize(_ path: String) throws(FormatError) -> WrittenFile? {
    if Folder.kind(path) == .nothing, Folder.exists(path + ".partial" + Journal.suffix) {
      return WrittenFile(
        "an output that is not finished", madeBy: "a command that was interrupted, or is at work",
        use: "the same command again, which resumes; or --force, which begins anew")
    }
    guard Folder.kind(path) == .file else { return nil }
    if let tensors = try ofTensors(path) { return tensors }
    let name = Folder.name(of: path)
    let file = try File(reading: path)
    let size = try file.size()
    let head = try file.read(min(size, 4096), at: 0).array
    if let importance = try importance(path, head, name) { return importance }
    guard size > 0, size <= 1 << 30,
      String(validating: head.dropLast(head.count == 4096 ? 4 : 0), as: UTF8.self) != nil
    else { return nil }
    let start = head.first { ![0x20, 0x09, 0x0A, 0x0D].contains($0) }
    if name.hasSuffix(Journal.suffix) { return journal(name, head) }
    if start == UInt8(ascii: "{") || start == UInt8(ascii: "[") {
      guard let json = try? JSON.parse(try Bytes.mapping(path).array, path: path) else { return nil }
      return WrittenFile(json)
    }
    if start == UInt8(ascii: "<") {
      return page(String(decoding: try Bytes.mapping(path).array, as: UTF8.self), path)
    }
    if name.hasSuffix(".jinja") {
      return WrittenFile(
        "a chat template", madeBy: "who made the model; commands carry it along",
        [("bytes", grouped(size))],
        use: "ingot verify, calibrate or inspect --render, --chat-template \(name)")
    }
    let text = String(decoding: try Bytes.mapping(path).array, as: UTF8.self)
    if name.hasSuffix(".md"), text.hasPrefix("---\n"), text.contains("\n- ingot\n") {
      return card(text, name)
    }
    if [".yaml", ".yml"].contains(where: name.hasSuffix), let recipe = try? Recipe(yaml: text, path: path) {
      return WrittenFile(
        "a recipe", madeBy: "ingot recipes NAME, or by hand",
        [("name", recipe.name), ("format", recipe.format), ("rules", "\(recipe.rules.count)")],
        use: "ingot quantize MODEL --recipe \(name)")
    }
    return nil
  }

  /// Reads a file that should be of a kind; where that fails since it is one of another kind of ours, the error says which.
  ///
  /// - Parameter kinds: how `kind` of what is wanted begins.
  static func reading<T>(
    _ path: String, as kinds: [String], _ body: () throws(FormatError) -> T
  ) throws(FormatError) -> T {
    do throws(FormatError) {
      return try body()
    } catch {
      guard let file = try? recognize(path), !kinds.contains(where: file.kind.hasPrefix) else { throw error }
      throw FormatError(
        path: path, expected: kinds.joined(separator: " or "),
        found: "\(file.kind), made by \(file.madeBy)" + (file.use.map { "; it is for \($0)" } ?? ""))
    }
  }

  static func plan(_ path: String) throws(FormatError) -> PlanFile {
    try reading(path, as: ["a plan"]) { () throws(FormatError) in try PlanFile.read(path) }
  }

  static func sensitivity(_ path: String, for model: Model) throws(FormatError) -> Sensitivity {
    try reading(path, as: ["a sensitivity file"]) { () throws(FormatError) in
      try Sensitivity.read(path, for: model)
    }
  }

  static func importance(_ path: String, for model: Model) throws(FormatError) -> ImportanceFile {
    try reading(path, as: ["calibration statistics", "an importance matrix"]) { () throws(FormatError) in
      try ImportanceFile(path, for: model)
    }
  }

  /// The result under the names that programs read.
  public var json: JSON {
    [
      "kind": .string(kind), "madeBy": .string(madeBy), "model": JSON(model),
      "figures": .object(
        figures.reduce(into: [:] as JSONObject) { object, figure in
          object[figure.name] = .string(figure.value)
        }),
      "use": JSON(use),
    ]
  }

  /// The same for people.
  public func text(_ path: String) -> String {
    var table = Table(["", ""], left: [0, 1])
    table.add(["file", "\(printable(path)): \(kind)"])
    table.add(["made by", madeBy])
    table.add(["model", model ?? "not named in the file"])
    for (name, value) in figures { table.add([name, printable(value, limit: 200)]) }
    if let use { table.add(["used by", use]) }
    return String(table.text.drop { $0.isNewline })
  }

  // MARK: Files of tensors

  private static func ofTensors(_ path: String) throws(FormatError) -> WrittenFile? {
    guard let header = try? SafeTensorsHeader(path: path) else { return nil }
    let metadata = header.metadata
    if metadata["format"] == CalibrationFile.label {
      let texts = (metadata["texts"].flatMap { try? JSON.parse(Array($0.utf8), path: path) })?.array ?? []
      let model = metadata["model"].flatMap { try? JSON.parse(Array($0.utf8), path: path) }
      return WrittenFile(
        "calibration statistics", madeBy: by("ingot calibrate", metadata["tool"]), model: model.flatMap(name),
        [
          ("layers", metadata["layers"]), ("tokens", metadata["tokens"].flatMap { Int($0) }.map(grouped)),
          ("texts", texts.compactMap(\.string).joined(separator: ", ")),
        ],
        use: "ingot quantize MODEL --importance \(Folder.name(of: path)), and ingot sensitivity --importance")
    }
    if let tool = metadata["reference"], tool.hasPrefix(Self.tool),
      header.entries.contains(where: { $0.name == "ids" }),
      let shape = header.entries.first(where: { $0.name == "logits" })?.shape, shape.count == 3
    {
      return WrittenFile(
        "logits", madeBy: by("ingot logits", tool), model: metadata["model"],
        [("contexts", grouped(shape[0])), ("tokens", grouped(shape[1])), ("vocabulary", grouped(shape[2]))],
        use: "your own comparison with another engine's logits")
    }
    return nil
  }

  private static func importance(_ path: String, _ head: [UInt8], _ name: String) throws(FormatError)
    -> WrittenFile?
  {
    let isGGUF = head.starts(with: "GGUF".utf8)
    guard isGGUF || name.hasSuffix(".dat"), let summary = try? ImportanceFile.summary(path) else {
      return nil
    }
    return WrittenFile(
      "an importance matrix of llama.cpp (\(isGGUF ? "GGUF" : "old form"))",
      madeBy: "ingot calibrate -o NAME\(isGGUF ? ".gguf" : ".dat"), or llama-imatrix",
      [
        ("tensors", grouped(summary.entries)),
        ("chunks", summary.chunks > 0 ? grouped(summary.chunks) : nil),
        ("texts", summary.datasets.isEmpty ? nil : summary.datasets.joined(separator: ", ")),
      ], use: "ingot quantize MODEL --importance \(name), and llama-quantize --imatrix")
  }

  // MARK: Texts

  private static func journal(_ name: String, _ head: [UInt8]) -> WrittenFile? {
    guard head.count > 18, head[17...].starts(with: "{\"journal\":1".utf8) else { return nil }
    let output = String(
      name.dropLast(Journal.suffix.count + (name.hasSuffix(".partial" + Journal.suffix) ? 8 : 0)))
    return WrittenFile(
      "the journal of an unfinished output", madeBy: "the command that writes \(output)",
      [("output", output)], use: "the same command again, which resumes; or --force, which begins anew")
  }

  private static func page(_ text: String, _ path: String) -> WrittenFile? {
    let opening = "<script id=\"report\" type=\"application/json\">"
    let other = "<script type=\"application/json\" id=\"report\">"
    guard let start = text.firstRange(of: opening) ?? text.firstRange(of: other),
      let end = text[start.upperBound...].firstRange(of: "</script>"),
      let json = try? JSON.parse(Array(text[start.upperBound..<end.lowerBound].utf8), path: path)
    else { return nil }
    var file = WrittenFile(json) ?? WrittenFile("a report", madeBy: Self.tool)
    file.kind = "a page of \(file.kind)"
    file.madeBy = file.madeBy.replacing(" --json", with: " --html")
    file.use = "a browser"
    return file
  }

  private static func card(_ text: String, _ name: String) -> WrittenFile? {
    guard let line = text.split(separator: "\n").first(where: { $0.hasPrefix("Made from ") }) else {
      return nil
    }
    return WrittenFile(
      "a model card", madeBy: "ingot quantize or ingot convert, beside the weights",
      model: line.dropFirst(10).firstRange(of: " by ").map {
        String(line[line.index(line.startIndex, offsetBy: 10)..<$0.lowerBound])
      },
      [("says", String(line))], use: "ingot verify --card, which adds what it measured")
  }

  /// The tool's name without its version.
  static let tool = String(Tool.name.prefix { $0 != " " })

  static func by(_ command: String, _ version: String?) -> String {
    command + (version.map { " (\(printable($0, limit: 40)))" } ?? "")
  }

  /// A model as files name it: with what tells it from others.
  static func name(_ model: JSON) -> String? {
    guard let name = model["name"]?.string else { return nil }
    let layers = model["layers"]?.int.map { "\($0) layers" }
    let experts = model["experts"]?.int.flatMap { $0 > 0 ? "\($0) experts" : nil }
    let weights = model["parameters"]?.int.map { "\(grouped($0)) parameters" }
    let parts = [layers, experts, weights].compactMap { $0 }
    return printable(name, limit: 100) + (parts.isEmpty ? "" : " (\(parts.joined(separator: ", ")))")
  }
}
