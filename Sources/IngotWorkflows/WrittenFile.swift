import IngotFormats
import IngotModels
import IngotPlanning
import IngotQuantization
import IngotReports
import IngotSystem
import IngotTensors

/// A file that this tool writes beside models: what it is, and for which model. Which commands write and use it is for
/// callers to say.
public struct WrittenFile: Sendable {
  /// What the file is, in words.
  public enum Kind: String, Sendable, CaseIterable {
    case unfinished = "an output that is not finished"
    case share = "a share of an artifact"
    case verificationShare = "a share of a verification"
    case sensitivityShare = "a share of a sensitivity measurement"
    case journal = "the journal of an unfinished output"
    case calibration = "calibration statistics"
    case importance = "an importance matrix of llama.cpp (GGUF)"
    case legacyImportance = "an importance matrix of llama.cpp (old form)"
    case sensitivity = "a sensitivity file"
    case plan = "a plan"
    case logits = "logits"
    case recipe = "a recipe"
    case chatTemplate = "a chat template"
    case modelCard = "a model card"
    case report = "a report"
    // Results of commands.
    case recipes = "the list of recipes"
    case verification = "a verification"
    case fits = "what fits where"
    case machineFits = "what fits a machine"
    case sensitivityResult = "the sensitivity of a model, in short"
    case sensitivityCost = "the cost of a sensitivity run"
    case recipeSize = "the size of a recipe's result"
    case planSize = "the size of a plan"
    case quantized = "what was quantized"
    case converted = "what was converted"
    case calibrated = "what was calibrated"
    case shareMade = "a share that was made"
    case logitsPlace = "where logits were written"
    case generation = "what a model said"
    case fitDecision = "what would be made for a machine"
    case fitRecord = "the record of a fit"
    case check = "what a check found"
    case conversations = "conversations as the model reads them"
    case model = "what a model is"
    case tensors = "the tensors of a model's files"
    case file = "what a file is"
    case error = "an error"
  }

  public var kind: Kind
  /// Whether it is a page that shows this.
  public var isPage = false
  /// Its name without the folder.
  public var name = ""
  /// The tool that wrote it, with its version, where the file says.
  public var tool: String?
  /// The model that it is of, as the file names it; nil where it does not.
  public var model: String?
  /// The main figures, each with its name.
  public var figures: [(name: String, value: String)] = []
  /// Name of the statistics that a plan was measured with.
  public var importance: String?

  init(_ kind: Kind, tool: String? = nil, model: String? = nil, _ figures: [(String, String?)] = []) {
    (self.kind, self.tool, self.model) = (kind, tool, model)
    self.figures = figures.compactMap { name, value in value.map { (name, $0) } }
  }

  /// What the file is: `a page of a plan`.
  public var title: String { isPage ? "a page of \(kind.rawValue)" : kind.rawValue }

  /// Reads what a file says of itself.
  ///
  /// - Returns: nil for a file that is none of these, such as one of weights.
  /// - Throws: FormatError for one that cannot be read, or is of a kind that it is not as that kind is.
  public static func recognize(_ path: String) throws(FormatError) -> WrittenFile? {
    var file = try recognized(path)
    file?.name = Folder.name(of: path)
    return file
  }

  private static func recognized(_ path: String) throws(FormatError) -> WrittenFile? {
    if Folder.kind(path) == .nothing, Folder.exists(path + ".partial" + Journal.suffix) {
      return WrittenFile(.unfinished)
    }
    guard Folder.kind(path) == .file else { return nil }
    if ShareSet.isNamed(path) { return try share(path) }
    if path.hasSuffix(ShareFile.suffix) { return try part(path) }
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
    if name.hasSuffix(".jinja") { return WrittenFile(.chatTemplate, [("bytes", grouped(size))]) }
    let text = String(decoding: try Bytes.mapping(path).array, as: UTF8.self)
    if name.hasSuffix(".md"), text.hasPrefix("---\n"), text.contains("\n- ingot\n") { return card(text) }
    if [".yaml", ".yml"].contains(where: name.hasSuffix), let recipe = try? Recipe(yaml: text, path: path) {
      return WrittenFile(
        .recipe, [("name", recipe.name), ("format", recipe.format), ("rules", "\(recipe.rules.count)")])
    }
    return nil
  }

  /// Reads a file that should be of a kind; where that fails since it is one of another kind of ours, the error says which.
  ///
  /// - Parameters:
  ///   - kinds: what is wanted.
  ///   - expected: the same in words; nil for the first one's.
  static func reading<T>(
    _ path: String, as kinds: [Kind], _ expected: String? = nil, _ body: () throws(FormatError) -> T
  ) throws(FormatError) -> T {
    do throws(FormatError) {
      return try body()
    } catch {
      guard let file = try? recognize(path), file.isPage || !kinds.contains(file.kind) else { throw error }
      throw FormatError(
        path: path, expected: expected ?? kinds[0].rawValue, found: file.title, remedy: .otherFile)
    }
  }

  static func plan(_ path: String) throws(FormatError) -> PlanFile {
    try reading(path, as: [.plan]) { () throws(FormatError) in try PlanFile.read(path) }
  }

  static func sensitivity(_ path: String, for model: Model) throws(FormatError) -> Sensitivity {
    try reading(path, as: [.sensitivity]) { () throws(FormatError) in try Sensitivity.read(path, for: model) }
  }

  static func importance(_ path: String, for model: Model) throws(FormatError) -> ImportanceFile {
    try reading(
      path, as: [.calibration, .importance, .legacyImportance],
      "calibration statistics or an importance matrix"
    ) { () throws(FormatError) in try ImportanceFile(path, for: model) }
  }

  // MARK: Files of tensors

  private static func ofTensors(_ path: String) throws(FormatError) -> WrittenFile? {
    guard let header = try? SafeTensorsHeader(path: path) else { return nil }
    let metadata = header.metadata
    if metadata["format"] == CalibrationFile.label {
      let texts = (metadata["texts"].flatMap { try? JSON.parse(Array($0.utf8), path: path) })?.array ?? []
      let model = metadata["model"].flatMap { try? JSON.parse(Array($0.utf8), path: path) }
      return WrittenFile(
        .calibration, tool: metadata["tool"], model: model.flatMap(name),
        [
          ("share", metadata["share"]?.replacing("/", with: " of ")), ("layers", metadata["layers"]),
          ("tokens", metadata["tokens"].flatMap { Int($0) }.map(grouped)),
          (
            "contexts",
            metadata[CalibrationFile.contexts].map { Int($0).map(grouped) ?? $0 } ?? "not recorded"
          ),
          ("texts", texts.compactMap(\.string).joined(separator: ", ")),
        ])
    }
    if let tool = metadata["reference"], tool.hasPrefix(Self.ownName),
      header.entries.contains(where: { $0.name == "ids" }),
      let shape = header.entries.first(where: { $0.name == "logits" })?.shape, shape.count == 3
    {
      return WrittenFile(
        .logits, tool: tool, model: metadata["model"],
        [("contexts", grouped(shape[0])), ("tokens", grouped(shape[1])), ("vocabulary", grouped(shape[2]))])
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
      isGGUF ? .importance : .legacyImportance,
      [
        ("tensors", grouped(summary.entries)),
        ("chunks", summary.chunks > 0 ? grouped(summary.chunks) : nil),
        ("texts", summary.datasets.isEmpty ? nil : summary.datasets.joined(separator: ", ")),
      ])
  }

  // MARK: Texts

  private static func journal(_ name: String, _ head: [UInt8]) -> WrittenFile? {
    guard head.count > 18, head[17...].starts(with: "{\"journal\":1".utf8) else { return nil }
    let output = String(
      name.dropLast(Journal.suffix.count + (name.hasSuffix(".partial" + Journal.suffix) ? 8 : 0)))
    return WrittenFile(.journal, [("output", output)])
  }

  private static func page(_ text: String, _ path: String) -> WrittenFile? {
    let opening = "<script id=\"report\" type=\"application/json\">"
    let other = "<script type=\"application/json\" id=\"report\">"
    guard let start = text.firstRange(of: opening) ?? text.firstRange(of: other),
      let end = text[start.upperBound...].firstRange(of: "</script>"),
      let json = try? JSON.parse(Array(text[start.upperBound..<end.lowerBound].utf8), path: path)
    else { return nil }
    var file = WrittenFile(json) ?? WrittenFile(.report)
    file.isPage = true
    return file
  }

  private static func card(_ text: String) -> WrittenFile? {
    guard let line = text.split(separator: "\n").first(where: { $0.hasPrefix("Made from ") }) else {
      return nil
    }
    return WrittenFile(
      .modelCard,
      model: line.dropFirst(10).firstRange(of: " by ").map {
        String(line[line.index(line.startIndex, offsetBy: 10)..<$0.lowerBound])
      },
      [("says", String(line))])
  }

  /// The tool's name without its version.
  private static let ownName = String(Tool.name.prefix { $0 != " " })

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
