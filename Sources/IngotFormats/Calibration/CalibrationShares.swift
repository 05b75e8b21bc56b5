import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

/// Statistics that were gathered by shares of the contexts, in a folder: one file a share.
///
/// Each share has the contexts that follow those of the share before it. What is of single tokens (inputs, experts, weights), of
/// weights, and the largest magnitudes are the same bytes put together as of one run. Means are not: one run adds all tokens
/// in F32, here the shares' means, each in F32, are added in F64, weighed by tokens. For n tokens both are within about
/// √n · 2⁻²⁴ of Σ |x||x|, and so of each other.
public struct CalibrationShares: Sendable {
  public let folder: String
  /// In their order.
  private let paths: [String]
  private let metadata: [String: String]

  /// What the file of a share says of it, beside its statistics.
  package struct Part: Hashable, Sendable {
    public var share: Share
    /// Of all shares together.
    public var contexts: Int
    /// Of all contexts' tokens.
    public var hash: UInt64
    /// The model, as the command named it.
    public var source: String

    public init(_ share: Share, of all: SeenContexts, source: String) {
      var bytes = ByteWriter()
      for text in all.texts {
        bytes.put(Array(text.name.utf8))
        for hash in text.hashes { bytes.put(hash) }
      }
      (self.share, self.source) = (share, source)
      (contexts, hash) = (all.count, XXH3.hash(Bytes(bytes.bytes).span))
    }

    init?(_ metadata: [String: String]) {
      guard let share = metadata["share"].flatMap({ Share($0) }),
        let contexts = metadata["share of contexts"].flatMap({ Int($0) }),
        let hash = metadata["share of"].flatMap({ UInt64($0, radix: 16) }), let source = metadata["source"]
      else { return nil }
      (self.share, self.contexts, self.hash, self.source) = (share, contexts, hash, source)
    }

    /// As metadata of the file.
    package var metadata: [String: String] {
      [
        "share": "\(share.index + 1)/\(share.count)", "share of contexts": "\(contexts)",
        "share of": hexDigits(hash), "source": source,
      ]
    }
  }

  /// The file of a share in a folder.
  package static func path(_ share: Share, in folder: String) -> String {
    "\(folder)/calibration-\(share.index + 1)-of-\(share.count).calib"
  }

  /// The share that a file of statistics is; nil for whole statistics.
  package static func part(_ path: String) -> Part? {
    guard let header = try? SafeTensorsHeader(path: path),
      header.metadata["format"] == CalibrationFile.label
    else { return nil }
    return Part(header.metadata)
  }

  /// Whether there are shares of statistics in a folder.
  public static func recognizes(_ folder: String) -> Bool {
    ((try? Folder.names(folder)) ?? []).contains { isNamed($0) }
  }

  private static func isNamed(_ name: String) -> Bool {
    name.hasPrefix("calibration-") && name.hasSuffix(".calib")
  }

  /// The model, as the command that gathered them named it.
  public var source: String { metadata["source"] ?? "" }
  public var count: Int { paths.count }

  /// - Throws: FormatError for shares that are missing, twice there, or of different models or texts, naming what differs.
  public init(_ folder: String) throws(FormatError) {
    self.folder = folder
    var found: [Int: String] = [:]
    var first: (path: String, part: Part, metadata: [String: String])?
    for name in try Folder.names(folder).sorted() where CalibrationShares.isNamed(name) {
      let path = folder + "/" + name
      let header = try SafeTensorsHeader(path: path)
      guard let part = Part(header.metadata) else {
        throw FormatError(
          path: path, expected: "a share of statistics, as 'ingot calibrate --shard i/n' writes it",
          found: "another file")
      }
      if let first {
        try CalibrationShares.require(header.metadata, part, path, as: first)
      } else {
        first = (path, part, header.metadata)
      }
      if let other = found[part.share.index] {
        throw FormatError(
          path: path, expected: "each share once", found: "\(part.share.description), which \(other) is too")
      }
      found[part.share.index] = path
    }
    guard let first else {
      throw FormatError(
        path: folder,
        expected: "files calibration-1-of-n.calib, as 'ingot calibrate --shard i/n -o' writes them",
        found: "none")
    }
    let count = first.part.share.count
    let missing = (0..<count).filter { found[$0] == nil }.map { $0 + 1 }
    guard missing.isEmpty else {
      throw FormatError(
        path: folder, expected: "\(count) shares",
        found: "\(found.count): \(ShareFiles.list(missing)) missing; make them with --shard i/\(count)")
    }
    paths = (0..<count).map { found[$0]! }
    metadata = first.metadata
  }

  private static func require(
    _ metadata: [String: String], _ part: Part, _ path: String,
    as first: (path: String, part: Part, metadata: [String: String])
  ) throws(FormatError) {
    let other = Folder.name(of: first.path)
    guard part.share.count == first.part.share.count else {
      throw FormatError(
        path: path, expected: "one of \(first.part.share.count) shares, as \(other)",
        found: "one of \(part.share.count)")
    }
    for (key, what) in [
      ("model", "the model"), ("tokenizer", "the tokenizer"), ("tool", "the tool's version"),
      ("texts", "the texts"),
    ] where metadata[key] != first.metadata[key] {
      throw FormatError(
        path: path, expected: "\(what) of \(other): \(printable(first.metadata[key] ?? "none", limit: 120))",
        found: printable(metadata[key] ?? "none", limit: 120))
    }
    guard part.hash == first.part.hash, part.contexts == first.part.contexts else {
      throw FormatError(
        path: path, expected: "a share of the contexts that \(other) is a share of",
        found: "one of others: texts, --context, --chunks or --all-contexts differed")
    }
  }

  /// Metadata of the statistics put together: that of the shares, without what is of shares alone.
  private var origin: [String: String] {
    metadata.filter { ["tool", "tokenizer"].contains($0.key) }
  }

  /// Puts the statistics together, layer by layer.
  ///
  /// - Parameter done: hears of each layer.
  /// - Returns: the tokens and the contexts of all shares.
  /// - Throws: FormatError for what cannot be read or written; the same call goes on behind the layers that are done, where that can help.
  public func assemble(
    to path: String, for model: Model, _ options: WriteOptions, done: (_ layer: Int) -> Void = { _ in }
  ) throws(FormatError) -> (tokens: Int, contexts: Int) {
    var shares: [CalibrationStatistics] = []
    for path in paths { shares.append(try CalibrationFile.read(path, for: model, takesShare: true)) }
    let tokens = shares.reduce(0) { $0 + $1.tokens }
    var contexts = SeenContexts(length: 1, texts: [])
    for (path, share) in zip(paths, shares) {
      guard let own = share.contexts else {
        throw FormatError(path: path, expected: "the contexts that a share is of", found: "none")
      }
      contexts.length = own.length
      for text in own.texts {
        if let known = contexts.texts.firstIndex(where: { $0.name == text.name }) {
          contexts.texts[known].hashes += text.hashes
        } else {
          contexts.texts.append(text)
        }
      }
    }
    let wanted = Part(metadata)
    guard let wanted, Part(wanted.share, of: contexts, source: wanted.source) == wanted else {
      throw FormatError(
        path: folder, expected: "shares whose contexts follow one another and are all",
        found:
          "\(contexts.count) contexts that are not those: gather them anew, all with one number of shares")
    }
    var files: [JSON] = []
    for path in paths { files.append(try fileIdentity(path)) }
    let writer = try CalibrationFile.Writer(
      path, for: model, texts: shares[0].texts, origin: origin, identity: ["shares": .array(files)], options)
    do throws(FormatError) {
      try writer.begin(tokens: tokens, contexts: contexts)
      for layer in writer.layers..<model.blueprint.layerCount {
        var parts: [LayerStatistics] = []
        for share in shares { parts.append(try share.layer(layer)) }
        try writer.write(try CalibrationShares.merged(parts, paths, model.blueprint))
        try writer.keep(["assembled": JSON(layer)], states: nil)
        done(layer)
      }
      try writer.commit()
    } catch {
      throw writer.abandoned(error)
    }
    return (tokens, contexts.count)
  }
}

extension CalibrationShares {
  /// A layer's statistics out of those of the shares, in their order.
  static func merged(_ parts: [LayerStatistics], _ paths: [String], _ blueprint: Blueprint)
    throws(FormatError) -> LayerStatistics
  {
    let layer = parts[0].layer
    let tokens = parts.map { Double($0.tokens) }
    let experts = max(blueprint.layers[layer].feedForward.count, 1)
    let counts = parts.map { tokensByExpert($0, experts) }
    var merged = LayerStatistics(layer: layer, tokens: parts.reduce(0) { $0 + $1.tokens }, fields: [:])
    for field in LayerStatistics.fields(layer: layer, blueprint) {
      let values = parts.map { $0.fields[field]! }
      switch field {
      case .inputs, .chosen, .weights: merged.fields[field] = Bytes(values.flatMap { $0.array })
      case .columnSquares, .downSquares:
        // Sums over weights, whatever went through them.
        let sums = values.map { XXH3.hash($0.span) }
        if let other = sums.firstIndex(where: { $0 != sums[0] }) {
          throw FormatError(
            path: paths[other], tensor: CalibrationFile.name(field, layer),
            expected: "the same weights as of \(Folder.name(of: paths[0]))", found: "others")
        }
        merged.fields[field] = values[0]
      case .innerPeaks, .outputPeaks:
        merged.fields[field] = combined(values) { values, _ in values.reduce(0) { max($0, $1) } }
      case .inputSquares, .innerSquares:
        let width = values[0].count / 4 / experts
        merged.fields[field] = combined(values) { values, index in
          mean(values, counts.map { Double($0[index / width]) })
        }
      default: merged.fields[field] = combined(values) { values, _ in mean(values, tokens) }
      }
    }
    return merged
  }

  /// How many tokens each expert got.
  private static func tokensByExpert(_ statistics: LayerStatistics, _ experts: Int) -> [Int] {
    var counts = [Int](repeating: 0, count: experts)
    let chosen = statistics.fields[.chosen]!
    for index in 0..<chosen.count / 4 {
      counts[Int(chosen.span.littleEndian(UInt32.self, at: 4 * index))] += 1
    }
    return counts
  }

  private static func mean(_ values: [Float], _ weights: [Double]) -> Float {
    let total = weights.reduce(0, +)
    guard total > 0 else { return 0 }
    var sum = 0.0
    for (value, weight) in zip(values, weights) { sum += Double(value) * weight }
    return Float(sum / total)
  }

  /// F32 values, each out of the shares' values at its place.
  private static func combined(_ values: [Bytes], _ body: ([Float], _ index: Int) -> Float) -> Bytes {
    var own = [Float](repeating: 0, count: values.count)
    var result = [Float](repeating: 0, count: values[0].count / 4)
    for index in result.indices {
      for (share, bytes) in values.enumerated() {
        own[share] = Float(bitPattern: bytes.span.littleEndian(UInt32.self, at: 4 * index))
      }
      result[index] = body(own, index)
    }
    return Bytes(count: 4 * result.count) { encode(.f32, result.span, into: &$0) }
  }
}
