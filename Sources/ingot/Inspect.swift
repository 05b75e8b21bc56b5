import ArgumentParser
import Formats
import Models
import Tensors
import Yams

struct Inspect: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Say what a checkpoint or an artifact is, and whether claims about it hold.",
    discussion: """
      Reads headers and config only. Claims: \(Claim.names.joined(separator: ", ")).
      Numbers may be rounded as authors do (230B, 9.8e9, 192k). Exit code 2 when a claim does not hold.
      """)

  @Argument(help: "Folder, .safetensors, .gguf or .ingot file, or name in the HF cache.")
  var model: String

  @Option(name: .long, help: ArgumentHelp("A claim to check; may be repeated.", valueName: "name=value"))
  var claim: [String] = []

  @Option(name: .long, help: ArgumentHelp("A YAML file with a mapping 'claims'.", valueName: "file"))
  var claims: String?

  @OptionGroup var reading: ReadingOptions
  @OptionGroup var json: JSONOption

  func validate() throws {
    for text in claim where Claim(text) == nil {
      throw ValidationError(
        "--claim \(text): expected NAME=VALUE with a name out of \(Claim.names.joined(separator: ", ")).")
    }
  }

  func run() throws {
    let model = try Model.read(model, reading.options)
    let summary = ModelSummary(model)
    var list = claim.compactMap { Claim($0) }
    if let claims { list += try readClaims(claims) }
    let verdicts = list.map { $0.verdict(summary) }
    if json.json {
      print(summary.json(claims: verdicts).text(indented: true))
    } else {
      show(model, summary)
      if !verdicts.isEmpty { show(verdicts) }
    }
    if verdicts.contains(where: { !$0.holds }) { throw ExitCode(2) }
  }

  private func readClaims(_ path: String) throws(FormatError) -> [Claim] {
    let bytes = try Bytes.mapping(path)
    func wrong(_ expected: String, _ found: String) -> FormatError {
      FormatError(path: path, expected: expected, found: found)
    }
    guard bytes.count <= 1 << 20, let text = String(validating: bytes.array, as: UTF8.self) else {
      throw wrong("UTF-8 text of at most 1 MiB", "\(bytes.count) bytes")
    }
    try requireNoAnchors(text, path: path)
    let root: Node?
    do {
      root = try Yams.compose(yaml: text)
    } catch {
      throw wrong("YAML", "\(error)")
    }
    guard let mapping = root?.mapping?["claims"]?.mapping else { throw wrong("a mapping 'claims'", "none") }
    var list: [Claim] = []
    for (key, value) in mapping {
      guard let name = key.scalar?.string, Claim.names.contains(name) else {
        throw wrong("claims out of \(Claim.names.joined(separator: ", "))", "'\(key.scalar?.string ?? "")'")
      }
      guard let text = value.scalar?.string else {
        throw wrong("one value for claim '\(name)'", "another kind of value")
      }
      list.append(Claim(name: name, value: text))
    }
    return list
  }

  private func show(_ model: Model, _ summary: ModelSummary) {
    let numbers = summary.numbers
    let attention = numbers.attention
    var table = Table(["", ""], left: [0, 1])
    table.add(["family", "\(summary.family), read from \(model.format)"])
    table.add([
      "layers",
      "\(numbers.layers), hidden \(grouped(numbers.hiddenSize)), vocabulary \(grouped(numbers.vocabulary))",
    ])
    table.add([
      "experts",
      "\(numbers.experts.count) a layer, \(numbers.experts.active) active, \(numbers.experts.shared) shared, "
        + "width \(grouped(numbers.experts.width))",
    ])
    if let dropped = summary.dropped {
      table.add(["", "\(dropped.count) of the original's \(dropped.experts) left out of each layer"])
    }
    table.add([
      "attention",
      "\(summary.attentionKind), \(attention.heads) heads on \(attention.keyValueHeads) key-value heads of \(attention.headDim)",
    ])
    table.add([
      "QK norm",
      attention.queryKeyNorm == .none
        ? "none" : "\(attention.queryKeyNorm.rawValue), over all heads of a layer together",
    ])
    table.add(["sliding window", attention.slidingWindow.map { "\($0)" } ?? "none"])
    table.add([
      "RoPE",
      "theta \(grouped(Int(exactly: attention.ropeTheta.rounded()) ?? .max)), \(attention.rotaryDims) of \(attention.headDim) dims",
    ])
    table.add([
      "context",
      "\(grouped(numbers.contextLength)) tokens, \(grouped(numbers.keyValueCacheBytesPerToken)) bytes of KV cache a token at 16 bits",
    ])
    table.add([
      "MTP",
      "\(numbers.predictionModules) modules announced, \(summary.predictionTensors) tensors in the files",
    ])
    table.add(["license", summary.license ?? "not stated in the files"])
    table.add([
      "parameters",
      "\(grouped(summary.total)) in all, \(grouped(summary.active)) active a token (\(fixed(100 * Double(summary.active) / Double(summary.total), 2)) %)",
    ])
    table.add(["", "\(grouped(summary.activeWithEmbedding)) active with embedding and head"])
    table.add([
      "bytes",
      "\(grouped(summary.bytes)), \(fixed(8 * Double(summary.bytes) / Double(summary.total), 3)) bits per weight",
    ])
    print(String(table.text.drop { $0.isNewline }))
    var roles = Table(["\nrole", "tensors", "parameters", "share", "bytes"])
    for role in summary.byRole {
      roles.add([
        role.part.rawValue, grouped(role.tensors), grouped(role.parameters),
        fixed(100 * Double(role.parameters) / Double(summary.total), 2) + " %", grouped(role.bytes),
      ])
    }
    print(roles.text)
    print(
      "\nstored as  "
        + summary.bytesByType.map { "\($0.type.rawValue) \(grouped($0.bytes))" }.joined(separator: ", "))
  }

  private func show(_ verdicts: [Claim.Verdict]) {
    var table = Table(["\nclaim", "stated", "holds", "the files say", "read from"], left: [0, 1, 2, 3, 4])
    for verdict in verdicts {
      table.add([
        verdict.claim.name, printable(verdict.claim.value, limit: 24), verdict.holds ? "yes" : "NO",
        verdict.actual,
        verdict.source,
      ])
    }
    print(table.text)
  }
}
