import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

/// llama.cpp's importance matrix ("imatrix"): for each linear layer, and each expert of it, the mean square of what went
/// into each column. Two forms are in use, GGUF and an older one of its own.
///
/// Source: llama.cpp's tools/imatrix and common/imatrix-loader.
public struct ImportanceFile: Sendable {
  public var importance: Importance
  /// Texts it was measured on.
  public var datasets: [String]
  /// How many pieces of text, and tokens of each; 0 when the file does not say.
  public var chunks: Int
  public var chunkSize: Int
  /// Roles that the file names but no token reached: experts that were never chosen. They have no importance.
  public private(set) var unseen: [Role] = []
  /// Entries that the model has no tensor for.
  public private(set) var ignored: [String] = []
  /// Entries of the file that were used.
  public private(set) var entries = 0
  /// SHA-256 of the file in hexadecimal; empty for one that was not read.
  public private(set) var sha256 = ""

  public enum Form: String, CaseIterable, Sendable {
    case gguf
    case legacy
  }

  static let type = "imatrix"
  static let datasetsKey = "imatrix.datasets"
  static let chunkCountKey = "imatrix.chunk_count"
  static let chunkSizeKey = "imatrix.chunk_size"
  static let sumSuffix = ".in_sum2"
  static let countSuffix = ".counts"

  public init(_ importance: Importance, datasets: [String] = [], chunks: Int = 0, chunkSize: Int = 0) {
    self.importance = importance
    self.datasets = datasets
    self.chunks = chunks
    self.chunkSize = chunkSize
  }

  /// Means of one entry's tensor: for each expert, or once for a layer without.
  struct Entry {
    /// GGUF's name of the weights.
    var name: String
    /// Means, one row after the other.
    var means: [Float]
    /// Tokens behind each row; nil where only the mean is known, 0 where there is none.
    var counts: [Int?]
    var offset: UInt64
  }

  /// How many entries a file of either form has, and what it was measured on, for whatever model.
  ///
  /// - Throws: FormatError for another file.
  package static func summary(_ path: String) throws(FormatError) -> (
    entries: Int, datasets: [String], chunks: Int
  ) {
    let bytes = try Bytes.mapping(path)
    var file = ImportanceFile(Importance())
    let entries =
      GGUFHeader.begins(bytes)
      ? try file.readGGUF(bytes, path) : try file.readLegacy(GGUFCursor(bytes, path: path))
    return (entries.count, file.datasets, file.chunks)
  }

  /// Reads a file of either form for a model.
  ///
  /// - Throws: FormatError for a broken file, or one of a model with other shapes.
  public init(_ path: String, for model: Model) throws(FormatError) {
    let bytes = try Bytes.mapping(path)
    self.init(Importance())
    let entries =
      GGUFHeader.begins(bytes) ? try readGGUF(bytes, path) : try readLegacy(GGUFCursor(bytes, path: path))
    let family = try GGUFFamily.of(model.family, path: path)
    for entry in entries { try take(entry, family, model, path) }
    guard self.entries > 0 else {
      throw FormatError(
        path: path,
        expected:
          "an importance matrix of this model, with entries for layers of \(family.name); make one with "
          + "'ingot calibrate \(printable(model.path)) -o NAME.gguf'",
        found: "\(ignored.count) entries of another model, such as '\(printable(ignored.first ?? ""))'")
    }
    var hash = SHA256()
    hash.update(bytes.span)
    sha256 = hash.hexDigest()
  }

  /// The same by the numbers of the experts that are left in a model.
  ///
  /// - Parameter dropped: nil for none.
  public func dropping(_ dropped: DroppedExperts?) -> ImportanceFile {
    guard let dropped else { return self }
    var file = self
    file.importance = importance.dropping(dropped)
    file.unseen = unseen.compactMap { dropped.role($0) }
    return file
  }

  /// Enters what a file says of one tensor.
  private mutating func take(_ entry: Entry, _ family: GGUFFamily, _ model: Model, _ path: String)
    throws(FormatError)
  {
    func wrong(_ expected: String, _ found: String) -> FormatError {
      FormatError(path: path, tensor: entry.name, offset: entry.offset, expected: expected, found: found)
    }
    let places = ImportanceFile.places(of: entry.name, family, model.blueprint)
    if places.isEmpty { ignored.append(entry.name) }
    for place in places { try take(entry, place, model, wrong) }
    if !places.isEmpty { entries += 1 }
  }

  /// A tensor of the model that an entry is for, or with `isStack` those of all experts; and for each of its columns the entry's,
  /// nil for the same.
  private struct Place {
    var role: Role
    var isStack = false
    var columns: [Int]?
  }

  /// The tensors whose input an entry describes; none for a name that the family has not.
  private static func places(of name: String, _ family: GGUFFamily, _ blueprint: Blueprint) -> [Place] {
    let (template, layer) = GGUFFamily.template(name)
    if let layer, blueprint.layers.indices.contains(layer) {
      for spec in blueprint.tensors(layer: layer) where spec.experts == nil {
        let role = Role(spec.kind, layer: layer)
        let stored = GGUFForm.importance(of: role, blueprint)?.first { $0.template == template }
        guard let stored else { continue }
        var inverse = stored.columns
        for (place, column) in (stored.columns ?? []).enumerated() { inverse![column] = place }
        return [Place(role: role, columns: inverse)]
      }
      let fused = GGUFFamily.fused[template]?.compactMap { blueprint.layers[layer].spec($0) } ?? []
      if !fused.isEmpty, fused.count == GGUFFamily.fused[template]!.count {
        return fused.map { Place(role: Role($0.kind, layer: layer), isStack: $0.experts != nil) }
      }
    }
    return family.role(of: name).map { [Place(role: $0.role, isStack: $0.isStack)] } ?? []
  }

  /// Enters what a file says of one tensor of the model.
  private mutating func take(
    _ entry: Entry, _ place: Place, _ model: Model, _ wrong: (String, String) -> FormatError
  ) throws(FormatError) {
    let (role, stacked) = (place.role, place.isStack)
    let experts = stacked ? model.blueprint.experts.count : 1
    let roles = stacked ? (0..<experts).map { Role(role.kind, layer: role.layer, expert: $0) } : [role]
    guard let columns = model[roles[0]]?.columns else {
      throw wrong(
        "a tensor of \(printable(model.path))",
        "\(role), which this model has not: the importance matrix is of another model")
    }
    guard entry.means.count == columns * experts else {
      throw wrong(
        "\(columns) values for each of \(experts) \(stacked ? "experts" : "tensors"), as \(printable(model.path)) has columns",
        "\(entry.means.count): the importance matrix is of another model")
    }
    guard entry.counts.count == experts || entry.counts.count == 1 else {
      throw wrong("a count of tokens for each of \(experts) experts, or one for all", "\(entry.counts.count)")
    }
    if let index = entry.means.firstIndex(where: { !($0 >= 0 && $0.isFinite) }) {
      throw wrong("squares, finite and not negative", "\(entry.means[index]) for column \(index % columns)")
    }
    for (number, role) in roles.enumerated() {
      let count = entry.counts[entry.counts.count == 1 ? 0 : number]
      let stored = Array(entry.means[number * columns..<(number + 1) * columns])
      let means = place.columns?.map { stored[$0] } ?? stored
      // The legacy form has no counts; an expert that no token reached stands there with ones.
      if count == 0 || count == nil && stacked && means.allSatisfy({ $0 == 1 }) {
        unseen.append(role)
        continue
      }
      importance.columns[role] = means
      importance.tokens[role] = count
    }
  }

  private mutating func readGGUF(_ bytes: Bytes, _ path: String) throws(FormatError) -> [Entry] {
    let header = try GGUFHeader(bytes, path: path)
    let metadata = header.metadata
    guard metadata["general.type"]?.string == ImportanceFile.type else {
      throw metadata.error("general.type", "\"\(ImportanceFile.type)\"")
    }
    datasets = metadata[ImportanceFile.datasetsKey]?.strings ?? []
    chunks = try metadata.integer(ImportanceFile.chunkCountKey, 0...Int(Int32.max), or: 0)
    chunkSize = try metadata.integer(ImportanceFile.chunkSizeKey, 0...Int(Int32.max), or: 0)
    var counts: [String: GGUFHeader.Info] = [:]
    for info in header.tensors where info.name.hasSuffix(ImportanceFile.countSuffix) {
      counts[String(info.name.dropLast(ImportanceFile.countSuffix.count))] = info
    }
    func values(_ info: GGUFHeader.Info) throws(FormatError) -> [Float] {
      guard info.type.name == "F32" else {
        throw FormatError(
          path: path, tensor: info.name, offset: info.infoOffset, expected: "F32", found: info.type.name)
      }
      return ImportanceFile.floats(bytes[info.range])
    }
    var entries: [Entry] = []
    for info in header.tensors {
      guard info.name.hasSuffix(ImportanceFile.sumSuffix) else {
        guard info.name.hasSuffix(ImportanceFile.countSuffix) else {
          throw FormatError(
            path: path, tensor: info.name, offset: info.infoOffset,
            expected: "tensors called …\(ImportanceFile.sumSuffix) and …\(ImportanceFile.countSuffix)",
            found: "another name")
        }
        continue
      }
      let name = String(info.name.dropLast(ImportanceFile.sumSuffix.count))
      guard let countInfo = counts.removeValue(forKey: name) else {
        throw FormatError(
          path: path, tensor: info.name, offset: info.infoOffset, expected: "counts beside the sums",
          found: "none")
      }
      var means = try values(info)
      let numbers = try values(countInfo)
      guard means.count % numbers.count == 0,
        let tokens = ImportanceFile.counts(numbers)
      else {
        throw FormatError(
          path: path, tensor: countInfo.name, offset: countInfo.infoOffset,
          expected: "counts of tokens, one for each row of sums", found: "\(numbers.prefix(4)) …")
      }
      let width = means.count / numbers.count
      for index in means.indices where tokens[index / width] > 0 {
        means[index] /= Float(tokens[index / width])
      }
      entries.append(Entry(name: name, means: means, counts: tokens, offset: info.infoOffset))
    }
    if let left = counts.keys.min() {
      throw FormatError(
        path: path, tensor: left + ImportanceFile.countSuffix, expected: "sums beside the counts",
        found: "none")
    }
    return entries
  }

  /// Counts of tokens, which the file holds as floats; nil when one is no count.
  private static func counts(_ numbers: [Float]) -> [Int]? {
    guard numbers.allSatisfy({ $0 >= 0 && $0 < 1e15 }) else { return nil }
    return numbers.map { Int($0.rounded()) }
  }

  static func floats(_ bytes: Bytes) -> [Float] {
    let span = bytes.span
    return (0..<bytes.count / 4).map { Float(bitPattern: span.littleEndian(UInt32.self, at: 4 * $0)) }
  }
}
