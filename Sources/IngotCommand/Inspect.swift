import ArgumentParser
import IngotFormats
import IngotModels
import IngotReports
import IngotSystem
import IngotTensors
import IngotWorkflows
import Yams

struct Inspect: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Show what is in a checkpoint or artifact, and check claims about it.",
    usage:
      "ingot inspect <model> [--claim <name=value> ...] [--tensors | --render <file>] [options]",
    discussion: """
      Reads headers and config only. Of a file that another command wrote (plan, sensitivity, calibration statistics, page, \
      a result of --json) it says what it is and what it is for. Claims: \(Claim.names.joined(separator: ", ")).
      Numbers may be rounded as authors do (230B, 9.8e9, 192k). Exit code 2 when a claim does not hold.
      """)

  @Argument(
    help: "Folder, .safetensors, .gguf or .ingot file, or name on the HF Hub.", completion: .path)
  var model: String

  @Option(
    name: .long, help: ArgumentHelp("A claim to check; may be repeated.", valueName: "name=value"),
    completion: .claim)
  var claim: [String] = []

  @Option(
    name: .long, help: ArgumentHelp("A YAML file with a mapping 'claims'.", valueName: "file"),
    completion: .yaml)
  var claims: String?

  @Flag(name: .long, help: "List every stored tensor.")
  var tensors = false

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Show the conversations of this .json or .jsonl file as the model reads them.", valueName: "file"),
    completion: .file(extensions: ["json", "jsonl"]))
  var render: String?

  @OptionGroup var template: ChatTemplateOption
  @OptionGroup var reading: ReadingOptions
  @OptionGroup var json: JSONOption

  func validate() throws {
    for text in claim where Claim(text) == nil {
      throw ValidationError(
        "--claim \(text): expected NAME=VALUE with a name out of \(Claim.names.joined(separator: ", ")).")
    }
  }

  func run() throws {
    if tensors {
      try show(InventoryView(Inventory(self.model)), listing: true)
      return
    }
    if let render {
      try show(
        RenderedConversation.all(
          in: render, for: Model.read(self.model, reading.options), template: template.chatTemplate))
      return
    }
    if claim.isEmpty, claims == nil, let file = try WrittenFile.recognize(self.model) {
      print(json.json ? file.json.text(indented: true) : file.text(self.model))
      return
    }
    let model: Model
    do {
      model = try Model.read(self.model, reading.options)
    } catch {
      try showInventory(error)
      return
    }
    if model.family.isGeneric, claim.isEmpty, claims == nil, !json.json {
      print(
        "family     not known: model_type \(model.family.modelTypes.map { "\"\(printable($0))\"" }.joined())")
      try show(InventoryView(Inventory(self.model)), listing: false)
      return
    }
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

  private func show(_ conversations: [RenderedConversation]) {
    if json.json {
      print(JSON.object(["conversations": .array(conversations.map(\.json))]).text(indented: true))
      return
    }
    for conversation in conversations {
      print(conversation.place + (conversation.tokens.map { ", \(grouped($0.count)) tokens" } ?? "") + ":")
      // Texts come from files: what drives a terminal is written as \u{…}, but for newlines.
      for line in conversation.text.split(separator: "\n", omittingEmptySubsequences: false) {
        print(printable(String(line), limit: .max))
      }
    }
  }

  /// What can be said of files that are no model of a known kind.
  ///
  /// - Throws: the error of the model, for what is not whole or not there.
  private func showInventory(_ error: FormatError) throws {
    guard claim.isEmpty, claims == nil, let inventory = try? Inventory(self.model) else { throw error }
    let isFolder = Folder.kind(self.model) == .folder
    if isFolder && inventory.problems.isEmpty { throw error }
    if json.json && isFolder { throw error }
    try show(InventoryView(inventory, reason: error), listing: false)
    if isFolder { throw error }
  }

  /// - Throws: the first problem of the files, once all has been shown.
  private func show(_ view: InventoryView, listing: Bool) throws(FormatError) {
    print(json.json ? view.record(listing: listing).text(indented: true) : view.text(listing: listing))
    if let problem = view.inventory.problems.first { throw problem.error }
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
    let top = root?.mapping
    guard let mapping = top?["claims"]?.mapping ?? (top?["claims"] == nil ? top : nil) else {
      throw wrong("claims, a line NAME: VALUE for each, such as 'layers: 62'", "no such lines")
    }
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
    let blueprint = summary.blueprint
    var table = Table(["", ""], left: [0, 1])
    table.add(["family", "\(summary.family), read from \(model.format)"])
    table.add([
      "layers",
      "\(blueprint.layerCount), hidden \(grouped(blueprint.hiddenSize)), vocabulary \(grouped(blueprint.vocabulary))"
        + (blueprint.isHeadTied ? ", head tied to the embedding" : ""),
    ])
    let dense = blueprint.layers.filter { !$0.feedForward.isMixture }
    if let mlp = dense.first?.feedForward {
      let all = dense.count == blueprint.layerCount
      table.add([
        "MLP", "\(all ? "every layer" : "\(dense.count) layers"), width \(grouped(mlp.intermediateSize))",
      ])
    }
    if !blueprint.mixtures.isEmpty {
      let experts = blueprint.experts
      let place = dense.isEmpty ? "a layer" : "in each of \(blueprint.mixtures.count) layers"
      table.add([
        "experts",
        "\(experts.count) \(place), \(experts.perToken) active, \(experts.shared) shared, "
          + "width \(grouped(experts.intermediateSize))",
      ])
    }
    if let dropped = summary.dropped {
      table.add(["", "\(dropped.count) of the original's \(dropped.experts) left out of each layer"])
    }
    let attention = blueprint.headed
    table.add([
      "attention",
      summary.attentionKind
        + (attention.map { ", \($0.heads) heads on \($0.keyValueHeads) key-value heads of \($0.headDim)" }
          ?? ""),
    ])
    if let attention {
      let norms: [GroupedQueryAttention.QueryKeyNorm: String] = [
        .none: "none", .perLayer: "per_layer, over all heads of a layer together",
        .perHead: "per_head, each head alone", .perHeadPlain: "per_head, each head alone, without weights",
      ]
      table.add(["QK norm", norms[attention.queryKeyNorm]!])
      table.add(["sliding window", blueprint.slidingWindow.map { "\($0)" } ?? "none"])
      if let rotary = attention.rotation {
        table.add([
          "RoPE",
          "theta \(grouped(Int(exactly: rotary.theta.rounded()) ?? .max)), \(rotary.dims) of \(attention.headDim) dims"
            + rotary.scalingText,
        ])
      }
    }
    table.add([
      "context",
      "\(grouped(blueprint.contextLength)) tokens, \(grouped(blueprint.keyValueCacheBytesPerToken)) bytes of KV cache a token at 16 bits",
    ])
    table.add([
      "MTP",
      "\(blueprint.predictionLayers) modules announced, \(counted(summary.prediction)) in the files",
    ])
    if summary.otherModels.tensors > 0 {
      table.add(["other models", "\(counted(summary.otherModels)) in the files"])
    }
    table.add(["license", summary.license ?? "not stated in the files"])
    if let remark = model.remark { table.add(["note", remark]) }
    table.add([
      "parameters",
      "\(grouped(summary.total)) in all, \(grouped(summary.active)) active a token (\(fixed(100 * Double(summary.active) / Double(summary.total), 2)) %)",
    ])
    table.add(["", "\(grouped(summary.activeWithEmbedding)) active with embedding and head"])
    if summary.prediction.tensors > 0 {
      table.add(["", "\(grouped(summary.totalWithoutPrediction)) without MTP"])
    }
    table.add([
      "bytes",
      "\(grouped(summary.bytes)) of tensors, \(fixed(8 * Double(summary.bytes) / Double(summary.total), 3)) bits per weight",
    ])
    print(String(table.text.drop { $0.isNewline }))
    var roles = Table(["\nrole", "tensors", "parameters", "share", "bytes", "stored as"], left: [0, 5])
    for role in summary.byRole {
      roles.add([
        role.kind.rawValue, grouped(role.tensors), grouped(role.parameters),
        fixed(100 * Double(role.parameters) / Double(summary.total), 2) + " %", grouped(role.bytes),
        encodings(summary.encodings[role.kind] ?? []),
      ])
    }
    print(roles.text)
    print(
      "\nstored as  "
        + summary.bytesByName.map { "\($0.name) \(grouped($0.bytes))" }.joined(separator: ", "))
  }

  /// Those that hold most of the bytes, and how many more there are.
  private func encodings(_ all: [(encoding: Encoding, bytes: Int)]) -> String {
    let shown = all.prefix(all.count > 3 ? 2 : 3).map { "\($0.encoding)" }.joined(separator: ", ")
    return all.count > 3 ? "\(shown), \(all.count - 2) more" : shown
  }

  private func counted(_ tensors: (tensors: Int, parameters: Int)) -> String {
    "\(grouped(tensors.tensors)) tensors"
      + (tensors.tensors == 0 ? "" : " of \(grouped(tensors.parameters)) parameters")
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
