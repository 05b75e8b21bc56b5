import ArgumentParser
import IngotFormats
import IngotModels
import IngotPlanning
import IngotQuantization
import IngotReports
import IngotSystem
import IngotTensors
import IngotWorkflows

/// On what a model is to run.
struct FitOptions: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp("Machine to show in full (first column of the table).", valueName: "name"),
    completion: .machine)
  var machine: String?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Machine, or memory for weights, cache and buffers together, such as 128GB.",
      valueName: "name or size"), completion: .machine)
  var fit: String?

  @Option(name: .long, help: ArgumentHelp("Context length in tokens, such as 64k.", valueName: "tokens"))
  var context: TokenCount?

  @Option(
    name: .long,
    help:
      "Precision of the key-value cache: \(CachePrecision.allCases.map(\.rawValue).joined(separator: ", ")).")
  var cache: CachePrecision = .f16

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Engine that runs it: \(Engine.allCases.map(\.rawValue).joined(separator: ", ")).", valueName: "name"))
  var engine: Engine?

  @Option(
    name: .long,
    help: ArgumentHelp("YAML file with your machines, in the format of machines.yaml.", valueName: "file"),
    completion: .yaml)
  var machines: String?

  func request(_ format: String?) -> FitRequest {
    FitRequest(context: context?.tokens, cache: cache, engine: engine, format: format, machines: machines)
  }

  func validate() throws {
    if machine != nil, fit != nil { throw ValidationError("--machine and --fit exclude each other.") }
  }
}

extension CachePrecision: ExpressibleByArgument {}
extension Engine: ExpressibleByArgument {
  public init?(argument: String) {
    guard let engine = Engine.allCases.first(where: { $0.rawValue.lowercased() == argument.lowercased() })
    else { return nil }
    self = engine
  }
}

/// A number of tokens: 65536 or 64k.
struct TokenCount: ExpressibleByArgument {
  let tokens: Int

  init?(argument: String) {
    let thousands = argument.hasSuffix("k") || argument.hasSuffix("K")
    guard let value = Int(thousands ? String(argument.dropLast()) : argument), value > 0,
      value <= 1 << 30
    else { return nil }
    tokens = thousands ? value * 1024 : value
  }
}

/// Prints what fits where: built-in recipes of each engine against machines.
struct FitTables {
  private let choices: FitChoices
  private let options: FitOptions

  init(model: Model, options: FitOptions, format: String?) throws {
    choices = try FitChoices(model, options.request(format))
    self.options = options
  }

  /// What --fit and --context ask for.
  static func demand(_ options: FitOptions, _ model: Model) throws -> (machine: Machine, context: Int) {
    try FitChoices.demand(options.request(nil), on: options.fit ?? "", model)
  }

  func show(json: Bool, page: PageWriter) throws {
    if let name = options.machine {
      try one(choices.machine(named: name), json, page)
    } else if let text = options.fit {
      try best(on: choices.machine(text), json, page)
    } else {
      try all(json, page)
    }
  }

  private func all(_ json: Bool, _ page: PageWriter) throws {
    let record = choices.record
    try page.write { FitPage(record).html }
    if json {
      print(record.text(indented: true))
      return
    }
    for (engine, choices, cells) in choices.byEngine {
      print(FitTable.machines(engine, choices, cells, contextAsked: options.context != nil) + "\n")
    }
    let asked = options.context.map { "GB to spare at \($0.tokens) tokens" } ?? "longest context that fits"
    print(
      """
      bits per weight, bytes of weights.
      Cells: \(asked), keys and values at \(options.cache.rawValue); '-': does not fit;
      a rate: experts that do not fit are read from the disk, at most that many tokens per second.
      Buffers are estimates by formula. --machine NAME shows one in full, --fit NAME picks for it.
      """)
  }

  private func one(_ machine: Machine, _ json: Bool, _ page: PageWriter) throws {
    let rows = try choices.fits(on: machine)
    let record = choices.record(rows, on: machine)
    try page.write { MachinePage(record).html }
    if json {
      print(record.text(indented: true))
      return
    }
    print(
      """
      \(machine.name): \(machine.title), \(choices.context) tokens of context, cache at \(options.cache.rawValue)

      \(FitTable.machine(rows))

      Of the device that has the least to spare; other: experts in main memory or, what that does not
      hold, on the disk; at most: tokens per second by the rates of memory and disk alone.
      """)
  }

  private func best(on machine: Machine, _ json: Bool, _ page: PageWriter) throws {
    let fitting = choices.best(on: machine)
    guard let (choice, fit) = fitting.first else {
      throw RequestError(.fit, nothingFits(machine), isUnmet: true)
    }
    let record = choices.record(fitting, on: machine)
    try page.write { MachinePage(record).html }
    if let (other, bytes) = choices.soldAlike(machine) {
      Terminal.error(
        "note: \(machine.name) is taken for what the model may have; \(other.title) lets it have "
          + "\(FitTable.size(bytes)): for that machine, --fit \(other.name)")
    }
    if json {
      print(record.text(indented: true))
      return
    }
    let recipe = choice.recipe.name
    let output =
      choice.recipe.format.flatMap(Format.named)?.suggestedName("model", folder: recipe) ?? "model-\(recipe)"
    print(
      """
      \(recipe) for \(choice.engine.rawValue): \(fixed(choice.bits, 2)) bits per weight, \
      \(FitTable.size(fit.weights)) of weights,
      \(FitTable.size(fit.cache)) of cache for \(choices.context) tokens at \(options.cache.rawValue), \
      \(FitTable.size(fit.buffers)) of buffers; \(FitTable.size(fit.left)) of \
      \(FitTable.size(fit.capacity)) to spare
      \(fit.layout.isEmpty ? "" : fit.layout + "\n")
        ingot quantize \(choices.model.path) --recipe \(recipe) -o \(output)
      """)
    if let others = FitTable.others(fitting.dropFirst().prefix(5)) { print("\n" + others) }
  }

  /// How much is missing, and what would help.
  private func nothingFits(_ machine: Machine) -> String {
    let least = choices.smallest
    let fit = choices.fit(least, machine)
    var text =
      "nothing fits into \(machine.name) with \(choices.context) tokens: the smallest recipe, \(least.recipe.name), "
      + "has \(FitTable.size(least.weights.total)) of weights and "
      + "\(FitTable.size(fit?.cache ?? choices.cacheBytes)) of cache"
    if let fit {
      text +=
        "; with \(FitTable.size(fit.buffers)) of buffers that is \(FitTable.size(-fit.left)) more "
        + "than the \(FitTable.size(fit.capacity)) that the model may take"
      if fit.left + fit.cache >= 0 { return text + ": --context and --cache make the cache smaller" }
    }
    return text
      + ": measure the model ('ingot sensitivity') and plan for this machine with fewer bits or fewer experts, "
      + "'ingot plan MODEL --sensitivity FILE --fit \(machine.name) --allow-drop -o plan.json'"
  }
}
