import IngotModels
import IngotSystem
import IngotTensors

/// A file format: how to recognize, read and write models in it.
public struct Format: Sendable {
  /// Name on the command line.
  public let name: String
  /// One line for help texts.
  public let summary: String
  /// What it means for plans.
  public let traits: ContainerTraits
  /// What it does with rows that an encoding's groups do not divide.
  public var rowRules = RowRules()
  /// Whether a path, which exists or names a cached model, looks like this format.
  let recognizes: @Sendable (_ path: String) -> Bool
  /// Reads what stands at a path as this format, whatever it looks like.
  public let read: @Sendable (_ path: String, _ options: ReadOptions) throws(FormatError) -> Model
  /// The model with encodings and roles as the format stores them, where that changes no number (a BF16 norm as F32, codes
  /// repacked). What cannot be adapted stays and is refused.
  let adapt: @Sendable (Model) throws(FormatError) -> Model
  /// Whether it has a place for numbers that engines quantize activations with, in what this model becomes.
  var keepsActivationScales: @Sendable (Model) -> Bool = { _ in false }
  /// Names of a model's tensors that it stores under other names, several in one.
  var restated: @Sendable (Model) -> Set<String> = { _ in [] }
  /// Names of tensors of an adapted model whose values it rounds, since what reads it wants them otherwise.
  var rounded: @Sendable (Model) -> [String] = { _ in [] }
  /// Why the format cannot hold an encoding; nil when it can.
  public let refusal: @Sendable (Encoding) -> String?
  /// Bytes that `write` would take, to the byte, without reading a weight.
  let measure: @Sendable (Model, _ path: String, WriteOptions) throws(FormatError) -> Int
  let write: @Sendable (Model, _ path: String, WriteOptions) async throws(FormatError) -> Written

  /// Every format, one line each; the last one takes what the others do not recognize.
  public static let all: [Format] = [
    .ingot,
    .gguf,
    .mlx,
    .compressedTensors,
    .gptq,
    .awq,
    .exl3,
    .safeTensors,
  ]

  /// Names of the formats whose tensors may have encodings of their own: `a, b or c`.
  public static var plannedNames: String {
    let names = all.filter { $0.traits.sharing != nil }.map(\.name)
    return names.dropLast().joined(separator: ", ") + " or " + names[names.count - 1]
  }

  /// The format of that name; nil when there is none.
  public static func named(_ name: String) -> Format? { all.first { $0.name == name } }

  /// A name for a model in this format, in examples: `model.gguf`, `model-mlx`.
  public func suggestedName(_ stem: String, folder: String? = nil) -> String {
    traits.suffix.map { stem + $0 } ?? "\(stem)-\(folder ?? name)"
  }

  /// What a writer of this format leaves out of a model, in words; nil for nothing.
  public func leftOut(of model: Model) -> String? {
    let scales = model.activationScales
    guard !scales.isEmpty, !keepsActivationScales(model) else { return nil }
    let names = Set(scales.map { $0.name.split(separator: ".").last.map(String.init) ?? $0.name }).sorted()
    return
      "left out: \(grouped(scales.count)) numbers that engines quantize activations and the key-value cache with "
      + "(\(names.map { printable($0) }.joined(separator: ", "))), for which \(name) has no place here; no weight depends on them"
  }

  /// Whether a file at `path` begins with these bytes, whatever its name.
  static func begins(_ path: String, _ magic: [UInt8]) -> Bool {
    guard Folder.kind(path) == .file, let file = try? File(reading: path),
      let head = try? file.read(magic.count, at: 0)
    else { return false }
    return head.array == magic
  }

  /// The format of what stands at `path`.
  public static func of(_ path: String) -> Format { all.first { $0.recognizes(path) } ?? .safeTensors }
}

public struct ReadOptions: Sendable {
  /// Copy tensors that the family does not know instead of refusing them.
  public var keepUnknown = false

  public init(keepUnknown: Bool = false) { self.keepUnknown = keepUnknown }
}

public struct WriteOptions: Sendable {
  /// Replace what stands at the output path, and discard an unfinished output that was begun otherwise.
  public var force = false
  /// The user's word that a run on another host, which may be at work on the output, has ended.
  public var takeOver = false
  /// Asked between units: when true, the run ends there with an error that says so, and can be continued.
  public var shouldStop: (@Sendable () -> Bool)?
  /// What decides the bytes beside source, format, `provenance` and these options. An unfinished output is continued
  /// only by a run of the same.
  public var identity: JSONObject = [:]
  /// Hold the source's weight files against the SHA-256 that names them in the Hugging Face cache.
  public var verifiesSource = false
  /// Largest file to write, in bytes; nil for one file.
  public var splitSize: Int?
  /// Threads that compute; the disk has its own.
  public var workers = 1
  /// Bytes of buffers, about, beyond what the model's description and calibration statistics take; nil for 1.5 GB, or 0.25 GB
  /// for each of the workers where that is more.
  public var memory: Int?
  /// Called after each chunk with the bytes it took in the output; from any task.
  public var progress: (@Sendable (Int) -> Void)?
  /// Also record SHA-256 of the source's weight files.
  public var hashSource = true
  /// The weight files whose SHA-256 is taken; nil for all.
  var hashedFiles: [String]?
  /// SHA-256 of weight files that are known already, by path.
  public var knownHashes: [String: String] = [:]
  /// Files that the run reads beside the model's: no output may replace them.
  public var inputs = InputFiles()
  /// What is found out about units of work and kept with them, for a run that resumes.
  public var notes: RunNotes?
  /// What the artifact's provenance says of how it was made, beside the source: recipe, tool version.
  public var provenance: JSONObject = [:]

  public init() {}
}

/// What a writer wrote.
public struct Written: Sendable {
  public var files: [String]
  public var bytes: Int
  /// Names of tensors that the forward pass does not use and that the format has no place for: multi-token prediction, other
  /// models of the checkpoint.
  public var leftOut: [String] = []
  /// Names of tensors whose values the format rounds: a reader finds other numbers than the model has.
  public var rounded: [String] = []
}

extension InputFiles {
  /// The files that a model is read from.
  public mutating func add(_ model: Model, _ what: String = "the model") {
    for path in model.weightFiles { add(what, path) }
    add(what, model.path)
  }

  /// The model that `path` means, which may be a name in the Hugging Face cache.
  public mutating func add(model path: String, _ what: String = "the model") {
    add(what, (Folder.kind(path) == .nothing ? try? HubCache().snapshot(path) : nil) ?? path)
  }
}

extension Model {
  /// Reads the model at `path`, in whatever format it is.
  ///
  /// - Throws: FormatError for the first fault.
  public static func read(_ path: String, _ options: ReadOptions = .init()) throws(FormatError) -> Model {
    try Format.of(path).read(path, options)
  }

  /// Exact size of this model's files in a format, side files included.
  public func plannedBytes(as format: Format, _ options: WriteOptions) throws(FormatError) -> Int {
    try format.measure(try adapted(to: format, path), path, options)
  }

  /// The first encoding that a format has no place for; nil when it holds all.
  package func refusedEncoding(of format: Format) -> Encoding? {
    let rowPacked = try? mapTensors { tensor in
      format.refusal(tensor.encoding) == nil ? tensor : tensor.rowPacked ?? tensor
    }
    guard let rowPacked, let model = try? format.adapt(rowPacked) else { return nil }
    return model.tensors.first { format.refusal($0.encoding) != nil }?.encoding
  }

  /// The model as the format stores it; refuses an encoding that the format has no place for.
  private func adapted(to format: Format, _ path: String) throws(FormatError) -> Model {
    let kept = format.keepsActivationScales(self) ? self : try withoutActivationScales()
    // Codes packed across rows are the same numbers with rows apart, which more formats hold.
    let rowPacked = try kept.mapTensors { tensor in
      format.refusal(tensor.encoding) == nil ? tensor : tensor.rowPacked ?? tensor
    }
    let model = try format.adapt(rowPacked)
    for tensor in model.tensors {
      if let reason = format.refusal(tensor.encoding) {
        throw FormatError(
          path: path, tensor: tensor.name, expected: "an encoding that \(format.name) holds",
          found: "\(tensor.encoding): \(reason)", remedy: .decode)
      }
    }
    return model
  }

  /// Writes the model to `path` in a format that can hold every one of its encodings.
  ///
  /// Nothing is written when one does not fit; the output appears under its name when it is complete.
  /// - Throws: FormatError naming the tensor that does not fit, or what failed.
  public func write(_ path: String, as format: Format, _ options: WriteOptions) async throws(FormatError)
    -> Written
  {
    var options = options
    options.inputs.add(self)
    try options.inputs.requireApart(path)
    let model = try adapted(to: format, path)
    let parent = Folder.parent(of: path)
    guard Folder.kind(parent) == .folder else {
      throw FormatError(
        path: parent, expected: "a folder to write \(printable(Folder.name(of: path))) into",
        found: "none; make it first (mkdir)")
    }
    var written = try await format.write(model, path, options)
    let kept = Set(model.tensors.map(\.role))
    let restated = format.restated(self)
    written.leftOut = tensors.filter { !kept.contains($0.role) && !restated.contains($0.name) }.map(\.name)
    written.rounded = format.rounded(model)
    return written
  }
}
