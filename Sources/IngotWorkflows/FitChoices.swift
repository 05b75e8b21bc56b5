import IngotFormats
import IngotModels
import IngotPlanning
import IngotQuantization
import IngotSystem
import IngotTensors

/// What is asked of machines: how long a context, in which precision, run by what.
public struct FitRequest: Sendable {
  /// Tokens; nil: the longest of the model.
  public var context: Int?
  public var cache: CachePrecision
  /// nil: every engine.
  public var engine: Engine?
  /// Name of a format; nil: every format.
  public var format: String?
  /// A YAML file with machines beside the built-in ones.
  public var machines: String?

  public init(
    context: Int? = nil, cache: CachePrecision = .f16, engine: Engine? = nil, format: String? = nil,
    machines: String? = nil
  ) {
    self.context = context
    self.cache = cache
    self.engine = engine
    self.format = format
    self.machines = machines
  }

  /// - Throws: RequestError when the context is longer than the model's.
  func tokens(_ model: Model) throws -> Int {
    let longest = model.blueprint.contextLength
    guard let context else { return longest }
    guard context <= longest else {
      throw RequestError(
        .context, "\(context): the model's longest is \(longest), which is taken where none is given")
    }
    return context
  }
}

/// The built-in recipes as each engine would run them, against machines.
public struct FitChoices {
  public let model: Model
  public let request: FitRequest
  public let machines: [Machine]
  public let choices: [EngineChoice]
  /// Tokens.
  public let context: Int

  /// - Throws: RequestError when the context is too long, or no recipe is for such an engine and format;
  ///   FormatError when the file of machines cannot be read.
  public init(_ model: Model, _ request: FitRequest) throws {
    self.model = model
    self.request = request
    machines = try Machine.all(adding: request.machines)
    context = try request.tokens(model)
    var choices: [EngineChoice] = []
    let (parameters, (model, counts)) = (model.parameters, model.representatives)
    for recipe in Recipe.builtIn {
      guard let name = recipe.format, request.format == nil || request.format == name,
        let format = Format.named(name), let plan = try? format.fitted(recipe.plan(for: model), model),
        format.isWorthwhile(plan, model)
      else { continue }
      // No built-in recipe tells an expert from another.
      let weights = Weights(model, plan, counts: counts)
      let bits = 8 * Double(weights.total) / Double(parameters)
      for engine in Engine.allCases where request.engine == nil || request.engine == engine {
        guard engine.loads(format.traits) else { continue }
        choices.append(EngineChoice(engine: engine, recipe: recipe, weights: weights, bits: bits))
      }
    }
    guard !choices.isEmpty else {
      throw RequestError(request.engine == nil ? .format : .engine, try FitChoices.nothing(request))
    }
    self.choices = choices
  }

  /// Why there is no choice, and what to ask for instead.
  ///
  /// - Throws: RequestError for a format of an unknown name.
  private static func nothing(_ request: FitRequest) throws(RequestError) -> String {
    let formats = Format.all.filter { format in
      Recipe.builtIn.contains { $0.format == format.name }
        && Engine.allCases.contains { $0.loads(format.traits) }
    }
    let format = try request.format.map { name throws(RequestError) in try Format.known(name) }
    func names(_ formats: [Format]) -> String { formats.map(\.name).joined(separator: ", ") }
    if let format, !formats.contains(where: { $0.name == format.name }) {
      return
        "no built-in recipe is for \(format.name), or no engine whose memory is known here loads it: choose a format that has some (\(names(formats)))"
    }
    if let engine = request.engine, let format, !engine.loads(format.traits) {
      let engines = Engine.allCases.filter { $0.loads(format.traits) }.map(\.rawValue)
      return
        "\(engine.rawValue) does not load \(format.name): choose a format that it loads "
        + "(\(names(formats.filter { engine.loads($0.traits) }))), or an engine that does "
        + "(\(engines.joined(separator: ", ")))"
    }
    if let engine = request.engine, !formats.contains(where: { engine.loads($0.traits) }) {
      let engines = Engine.allCases.filter { engine in formats.contains { engine.loads($0.traits) } }
      return
        "no built-in recipe is for a format that \(engine.rawValue) loads: choose an engine that has some "
        + "(\(engines.map(\.rawValue).joined(separator: ", ")))"
    }
    let own = Format.ingot
    let usual = PlanChoice.usualRecipe(forOutput: "", format: own.name)
    return
      "no built-in recipe \(format.map { "for \($0.name) " } ?? "")has groups that fit the rows of this model: recipe \(usual) "
      + "with an output that ends in \(own.traits.suffix ?? own.name) takes rows of any length"
      + (format == nil && request.engine == nil
        ? "" : ", or ask for no engine and format, which shows what fits")
  }

  /// - Throws: RequestError when no machine has that name.
  public func machine(named name: String) throws -> Machine {
    guard let machine = machines.first(where: { $0.name == name }) else {
      let near = closestName(to: name, among: machines.map(\.name))
      throw RequestError(
        .machine, "\(name): expected one of \(names)" + (near.map { "; did you mean \($0)?" } ?? ""))
    }
    return machine
  }

  /// The machine of that name, or one that has just so many bytes for the model.
  ///
  /// - Throws: RequestError when the text is neither a name nor a size.
  public func machine(_ text: String) throws -> Machine {
    try FitChoices.machine(text, among: machines)
  }

  private var names: String { machines.map(\.name).joined(separator: ", ") }

  private static func machine(_ text: String, among machines: [Machine]) throws -> Machine {
    if let machine = machines.first(where: { $0.name == text }) { return machine }
    guard let size = ByteSize(text) else {
      throw RequestError(
        .fit,
        "\(text): expected a size such as 128GB or one of \(machines.map(\.name).joined(separator: ", "))"
          + (closestName(to: text, among: machines.map(\.name)).map { "; did you mean \($0)?" } ?? ""))
    }
    var machine = Machine(bytes: size.bytes)
    machine.name = text
    return machine
  }

  /// The machine that a name or a size means, and the context that a request asks for.
  public static func demand(_ request: FitRequest, on text: String, _ model: Model) throws
    -> (machine: Machine, context: Int)
  {
    (try machine(text, among: Machine.all(adding: request.machines)), try request.tokens(model))
  }

  /// The machine that a name or a size means.
  static func machine(_ text: String, machines path: String?) throws -> Machine {
    try machine(text, among: Machine.all(adding: path))
  }

  private func demand(_ choice: EngineChoice) -> Demand {
    Demand(model.blueprint, choice.weights, context: context, cache: request.cache)
  }

  public func fit(_ choice: EngineChoice, _ machine: Machine) -> Fit? {
    demand(choice).fit(choice.engine, machine)
  }

  /// Bytes of the cache for the whole context.
  public var cacheBytes: Int { model.blueprint.cacheBytes(context: context, request.cache) }

  // MARK: Machines × recipes

  /// For each engine that has a recipe: its choices, the largest first, and what of them fits on every machine.
  public var byEngine: [(engine: Engine, choices: [EngineChoice], cells: [[FitCell]])] {
    Engine.allCases.compactMap { engine in
      // Pure ones are for comparisons and would make the table too wide.
      let mine = choices.filter { $0.engine == engine && !$0.recipe.name.hasSuffix("_pure") }
        .sorted { $0.bits > $1.bits }
      guard !mine.isEmpty else { return nil }
      return (
        engine, mine,
        machines.filter { engine.runs(on: $0.memory) }.map { machine in mine.map { cell($0, machine) } }
      )
    }
  }

  private func cell(_ choice: EngineChoice, _ machine: Machine) -> FitCell {
    let demand = demand(choice)
    let longest = demand.longestContext(choice.engine, machine)
    let fit = demand.fit(choice.engine, machine)
    let fits = request.context == nil ? longest != nil : fit?.fits == true
    return FitCell(
      machine: machine, choice: choice, fit: fit, longestContext: longest,
      diskBound: fits ? nil : diskBound(choice, machine))
  }

  /// Tokens a second that the disk allows with a context of 8k, where experts spill onto it.
  private func diskBound(_ choice: EngineChoice, _ machine: Machine) -> Double? {
    var demand = demand(choice)
    demand.context = min(context, request.context ?? 8192)
    guard let fit = demand.fit(choice.engine, machine), fit.onDisk > 0, fit.left >= 0 else { return nil }
    return fit.bound
  }

  // MARK: One machine

  /// Every choice that an engine runs on the machine, whether it fits or not.
  ///
  /// - Throws: RequestError when no engine runs there.
  public func fits(on machine: Machine) throws -> [(EngineChoice, Fit)] {
    let rows = choices.compactMap { choice in fit(choice, machine).map { (choice, $0) } }
      .sorted { ($0.0.engine.rawValue, -$0.0.bits) < ($1.0.engine.rawValue, -$1.0.bits) }
    guard !rows.isEmpty else {
      throw RequestError(.machine, nothing(on: machine))
    }
    return rows
  }

  private func nothing(on machine: Machine) -> String {
    let asked = Engine.allCases.filter { engine in choices.contains { $0.engine == engine } }
    let others = Engine.allCases.filter { $0.runs(on: machine.memory) }.map(\.rawValue)
    let machines = machines.filter { machine in asked.contains { $0.runs(on: machine.memory) } }.map(\.name)
    return
      "\(asked.map(\.rawValue).joined(separator: ", ")) \(asked.count == 1 ? "does" : "do") not run on \(machine.name): "
      + "choose an engine that does (\(others.joined(separator: ", "))) and a format that it loads, or another machine ("
      + "\(machines.joined(separator: ", ")))"
  }

  /// The choices that fit, the one with the most bits first.
  public func best(on machine: Machine) -> [(EngineChoice, Fit)] {
    choices.compactMap { choice -> (EngineChoice, Fit)? in
      guard let fit = fit(choice, machine), fit.fits else { return nil }
      return (choice, fit)
    }.sorted { $0.0.bits > $1.0.bits }
  }

  /// The choice with the least bytes.
  public var smallest: EngineChoice { choices.min { $0.weights.total < $1.weights.total }! }

  /// A machine that is sold with about as much memory as one that was given as a size, and the bytes that it lets a
  /// model have: the model does not get all of it.
  public func soldAlike(_ machine: Machine) -> (machine: Machine, bytes: Int)? {
    guard !machines.contains(where: { $0.name == machine.name }), case .unified(let size, _) = machine.memory
    else { return nil }
    for other in machines {
      guard case .unified(let bytes, let share) = other.memory, share < 1 else { continue }
      // 96 GB as sold are 96 GiB.
      if abs(Double(bytes) / Double(size) - 1) < 0.08 { return (other, Int(Double(bytes) * share)) }
    }
    return nil
  }
}
