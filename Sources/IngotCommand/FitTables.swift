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
    help: ArgumentHelp("Machine to show in full (first column of the table).", valueName: "name"))
  var machine: String?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Machine, or memory for weights, cache and buffers together, such as 128GB.",
      valueName: "name or size"))
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
    help: ArgumentHelp("YAML file with your machines, in the format of machines.yaml.", valueName: "file"))
  var machines: String?

  func validate() throws {
    if machine != nil, fit != nil { throw ValidationError("--machine and --fit exclude each other.") }
  }
}

extension CachePrecision: ExpressibleByArgument {}
extension Engine: ExpressibleByArgument {}

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

/// What fits where: built-in recipes of each engine against machines.
struct FitTables {
  /// A recipe as an engine would run it.
  private struct Choice {
    var engine: Engine
    var recipe: Recipe
    var weights: Weights
    var bits: Double
  }

  private let model: Model
  private let options: FitOptions
  private let machines: [Machine]
  private var choices: [Choice] = []
  private let context: Int

  init(model: Model, options: FitOptions, format: String?) throws {
    self.model = model
    self.options = options
    machines = try Machine.all(adding: options.machines)
    context = try FitTables.context(options, model)
    for recipe in Recipe.builtIn {
      guard let name = recipe.format, format == nil || format == name,
        let plan = try? recipe.plan(for: model)
      else { continue }
      let weights = Weights(model, plan)
      let bits = 8 * Double(weights.total) / Double(model.parameters)
      for engine in Engine.allCases where options.engine == nil || options.engine == engine {
        guard let format = Format.named(name), engine.loads(format.traits) else { continue }
        choices.append(Choice(engine: engine, recipe: recipe, weights: weights, bits: bits))
      }
    }
    guard !choices.isEmpty else {
      throw ValidationError("No built-in recipe is for this engine and format and fits this model's shapes.")
    }
  }

  func show(json: Bool, page: PageWriter) throws {
    if let name = options.machine {
      try one(named(name), json, page)
    } else if let text = options.fit {
      try best(on: FitTables.machine(text, among: machines), json, page)
    } else {
      try all(json, page)
    }
  }

  private func named(_ name: String) throws -> Machine {
    guard let machine = machines.first(where: { $0.name == name }) else {
      throw ValidationError(
        "--machine \(name): expected one of \(machines.map(\.name).joined(separator: ", ")).")
    }
    return machine
  }

  private static func context(_ options: FitOptions, _ model: Model) throws -> Int {
    let longest = model.blueprint.contextLength
    guard let asked = options.context?.tokens else { return longest }
    guard asked <= longest else {
      throw ValidationError("--context \(asked): the model's longest is \(longest).")
    }
    return asked
  }

  /// The machine of that name, or one that has just so many bytes for the model.
  private static func machine(_ text: String, among machines: [Machine]) throws -> Machine {
    if let machine = machines.first(where: { $0.name == text }) { return machine }
    guard let size = ByteSize(text) else {
      throw ValidationError(
        "--fit \(text): expected a size such as 128GB or one of \(machines.map(\.name).joined(separator: ", "))."
      )
    }
    var machine = Machine(bytes: size.bytes)
    machine.name = text
    return machine
  }

  /// What --fit and --context ask for.
  static func demand(_ options: FitOptions, _ model: Model) throws -> (machine: Machine, context: Int) {
    let machines = try Machine.all(adding: options.machines)
    return (try machine(options.fit ?? "", among: machines), try context(options, model))
  }

  private func demand(_ choice: Choice) -> Demand {
    Demand(model.blueprint, choice.weights, context: context, cache: options.cache)
  }

  // MARK: Machines × recipes

  private func all(_ json: Bool, _ page: PageWriter) throws {
    var tables: [String] = []
    var cells: [JSON] = []
    for engine in Engine.allCases {
      // Pure ones are for comparisons and would make the table too wide.
      let mine = choices.filter { $0.engine == engine && !$0.recipe.name.hasSuffix("_pure") }
        .sorted { $0.bits > $1.bits }
      guard !mine.isEmpty else { continue }
      var table = Table([engine.rawValue] + mine.map(\.recipe.name))
      table.add(["bits"] + mine.map { fixed($0.bits, 2) })
      table.add(["GB"] + mine.map { fixed(Double($0.weights.total) / 1e9, 0) })
      var none: [String] = []
      for machine in machines where engine.runs(on: machine.memory) {
        var row: [String] = []
        for choice in mine {
          let (text, cell) = cell(choice, machine)
          row.append(text)
          cells.append(cell)
        }
        if row.contains(where: { $0 != "-" }) {
          table.add([machine.name] + row)
        } else {
          none.append(machine.name)
        }
      }
      tables.append(
        table.text + (none.isEmpty ? "" : "\nnothing fits on \(none.joined(separator: ", "))"))
    }
    let result: JSON = [
      "model": model.planRecord, "cache": .string(options.cache.rawValue),
      "context": options.context.map { JSON($0.tokens) } ?? .null,
      "machines": .array(machines.map { ["name": .string($0.name), "title": .string($0.title)] }),
      "recipes": .array(recipes), "cells": .array(cells),
    ]
    try page.write { FitPage(result).html }
    if json {
      print(result.text(indented: true))
      return
    }
    print(tables.joined(separator: "\n\n"))
    let asked = options.context.map { "GB to spare at \($0.tokens) tokens" } ?? "longest context that fits"
    print(
      """

      bits a weight, GB of weights.
      Cells: \(asked), keys and values at \(options.cache.rawValue); '-': does not fit;
      a rate: experts that do not fit are read from the disk, at most so many tokens a second.
      Buffers are estimates by formula. --machine NAME shows one in full, --fit NAME picks for it.
      """)
  }

  /// Every recipe once, the largest first.
  private var recipes: [JSON] {
    var seen = Set<String>()
    return choices.filter { seen.insert($0.recipe.name).inserted }.sorted { $0.bits > $1.bits }.map {
      choice in
      let weights = choice.weights
      let groups = [
        ("experts", weights.experts), ("attention, routers, norms", weights.shared),
        ("embedding", weights.embedding), ("head", weights.head),
      ]
      return [
        "recipe": .string(choice.recipe.name), "format": JSON(choice.recipe.format),
        "bitsPerWeight": JSON(choice.bits), "bytes": JSON(weights.total),
        "ofSource": JSON(Double(weights.total) / Double(max(model.bytes, 1))),
        "groups": .array(groups.map { ["group": .string($0.0), "bytes": JSON($0.1)] }),
      ]
    }
  }

  private func cell(_ choice: Choice, _ machine: Machine) -> (String, JSON) {
    let demand = demand(choice)
    let longest = demand.longestContext(choice.engine, machine)
    let fit = demand.fit(choice.engine, machine)
    var text = "-"
    var diskBound: Double?
    if let fit, options.context != nil, fit.fits {
      text = fixed(Double(fit.left) / 1e9, 0)
    } else if options.context == nil, let longest {
      text = longest >= 1024 ? "\(longest / 1024)k" : "\(longest)"
    } else if let slow = slow(choice, machine) {
      text = fixed(slow, 1) + "/s"
      diskBound = slow
    }
    let cell: JSON = [
      "machine": .string(machine.name), "engine": .string(choice.engine.rawValue),
      "recipe": .string(choice.recipe.name), "bitsPerWeight": JSON(choice.bits),
      "weights": JSON(choice.weights.total), "longestContext": longest.map { JSON($0) } ?? .null,
      "left": fit.map { JSON($0.left) } ?? .null, "onDisk": fit.map { JSON($0.onDisk) } ?? .null,
      "diskBound": diskBound.map { JSON($0) } ?? .null,
    ]
    return (text, cell)
  }

  /// Tokens a second that the disk allows with a context of 8k, where experts spill onto it.
  private func slow(_ choice: Choice, _ machine: Machine) -> Double? {
    var demand = demand(choice)
    demand.context = min(context, options.context?.tokens ?? 8192)
    guard let fit = demand.fit(choice.engine, machine), fit.onDisk > 0, fit.left >= 0 else { return nil }
    return fit.bound
  }

  // MARK: One machine

  private func one(_ machine: Machine, _ json: Bool, _ page: PageWriter) throws {
    let rows = choices.compactMap { choice in demand(choice).fit(choice.engine, machine).map { (choice, $0) }
    }
    .sorted { ($0.0.engine.rawValue, -$0.0.bits) < ($1.0.engine.rawValue, -$1.0.bits) }
    guard !rows.isEmpty else {
      throw ValidationError("No engine that is known here runs on \(machine.name).")
    }
    let record = record(rows, machine)
    try page.write { MachinePage(record).html }
    if json {
      print(record.text(indented: true))
      return
    }
    print(
      "\(machine.name): \(machine.title), \(context) tokens of context, cache at \(options.cache.rawValue)\n")
    var table = Table(
      [
        "engine", "recipe", "bits", "weights", "cache", "buffers", "may take", "to spare", "other", "at most",
      ],
      left: [0, 1])
    for (choice, fit) in rows {
      table.add([
        choice.engine.rawValue, choice.recipe.name, fixed(choice.bits, 2), gigabytes(fit.weights),
        gigabytes(fit.cache), gigabytes(fit.buffers), gigabytes(fit.capacity), gigabytes(fit.left),
        fit.inMainMemory + fit.onDisk > 0 ? gigabytes(fit.inMainMemory + fit.onDisk) : "",
        fit.bound.map { fixed($0, $0 < 10 ? 1 : 0) + "/s" } ?? "",
      ])
    }
    print(table.text)
    let layouts = Set(rows.map(\.1.layout)).subtracting([""])
    if layouts.count <= 3 { for text in layouts.sorted() { print(text) } }
    print(
      """

      GB, of the device that has the least to spare; other: experts in main memory or, what that does not
      hold, on the disk; at most: tokens a second by the rates of memory and disk alone.
      """)
  }

  /// What some recipes take of a machine.
  private func record(_ rows: [(Choice, Fit)], _ machine: Machine) -> JSON {
    [
      "model": model.planRecord,
      "machine": ["name": .string(machine.name), "title": .string(machine.title)],
      "context": JSON(context), "cache": .string(options.cache.rawValue),
      "choices": .array(rows.map { json($0.0, $0.1, machine) }),
    ]
  }

  private func gigabytes(_ bytes: Int) -> String { fixed(Double(bytes) / 1e9, 1) }

  private func json(_ choice: Choice, _ fit: Fit, _ machine: Machine) -> JSON {
    [
      "machine": .string(machine.name), "engine": .string(choice.engine.rawValue),
      "recipe": .string(choice.recipe.name), "bitsPerWeight": JSON(choice.bits), "context": JSON(context),
      "weights": JSON(fit.weights), "cache": JSON(fit.cache), "buffers": JSON(fit.buffers),
      "capacity": JSON(fit.capacity), "left": JSON(fit.left), "inMainMemory": JSON(fit.inMainMemory),
      "onDisk": JSON(fit.onDisk), "layout": .string(fit.layout), "fits": .bool(fit.fits),
      "tokensPerSecondBound": fit.bound.map { JSON($0) } ?? .null,
    ]
  }

  // MARK: The best

  /// A word on machines that are sold with so much memory, when a size was given: the model does not get all of it.
  private func sameSize(_ machine: Machine) -> String? {
    guard !machines.contains(where: { $0.name == machine.name }), case .unified(let size, _) = machine.memory
    else {
      return nil
    }
    let alike = machines.first { other in
      guard case .unified(let bytes, let share) = other.memory, share < 1 else { return false }
      // 96 GB as sold are 96 GiB.
      return abs(Double(bytes) / Double(size) - 1) < 0.08
    }
    guard let other = alike, case .unified(let bytes, let share) = other.memory else { return nil }
    return "\(machine.name) is taken for what the model may have; \(other.title) lets it have "
      + "\(gigabytes(Int(Double(bytes) * share))) GB: for that machine, --fit \(other.name)"
  }

  /// How much is missing, and what would help.
  private func nothingFits(_ least: Choice, _ machine: Machine) -> String {
    let fit = demand(least).fit(least.engine, machine)
    let cache = fit?.cache ?? model.blueprint.cacheBytes(context: context, options.cache)
    var text =
      "nothing fits into \(machine.name) with \(context) tokens: the smallest recipe, \(least.recipe.name), has "
      + "\(gigabytes(least.weights.total)) GB of weights and \(gigabytes(cache)) GB of cache"
    if let fit {
      text +=
        "; with \(gigabytes(fit.buffers)) GB of buffers that is \(gigabytes(-fit.left)) GB more than the "
        + "\(gigabytes(fit.capacity)) GB that the model may take"
      if fit.left + fit.cache >= 0 {
        return text + ": --context and --cache make the cache smaller"
      }
    }
    return text
      + ": measure the model ('ingot sensitivity') and plan for this machine with fewer bits or fewer experts, "
      + "'ingot plan MODEL --sensitivity FILE --fit \(machine.name) --allow-drop -o plan.json'"
  }

  private func best(on machine: Machine, _ json: Bool, _ page: PageWriter) throws {
    let fitting = choices.compactMap { choice -> (Choice, Fit)? in
      guard let fit = demand(choice).fit(choice.engine, machine), fit.fits else { return nil }
      return (choice, fit)
    }.sorted { $0.0.bits > $1.0.bits }
    guard let (choice, fit) = fitting.first else {
      let least = choices.min { $0.weights.total < $1.weights.total }!
      throw RequestError(.fit, nothingFits(least, machine))
    }
    let record = record(fitting, machine)
    try page.write { MachinePage(record).html }
    if let line = sameSize(machine) { Terminal.error("note: \(line)") }
    if json {
      print(record.text(indented: true))
      return
    }
    let format = choice.recipe.format.flatMap(Format.named)
    let output =
      format?.suggestedName("model", folder: choice.recipe.name) ?? "model-\(choice.recipe.name)"
    print(
      """
      \(choice.recipe.name) for \(choice.engine.rawValue): \(fixed(choice.bits, 2)) bits per weight, \
      \(gigabytes(fit.weights)) GB of weights,
      \(gigabytes(fit.cache)) GB of cache for \(context) tokens at \(options.cache.rawValue), \
      \(gigabytes(fit.buffers)) GB of buffers; \(gigabytes(fit.left)) of \(gigabytes(fit.capacity)) GB to spare
      \(fit.layout.isEmpty ? "" : fit.layout + "\n")
        ingot quantize \(model.path) --recipe \(choice.recipe.name) -o \(output)
      """)
    let others = fitting.dropFirst().prefix(5)
    guard !others.isEmpty else { return }
    var table = Table(["also fits", "for", "bits", "GB to spare"], left: [0, 1])
    for (choice, fit) in others {
      table.add([choice.recipe.name, choice.engine.rawValue, fixed(choice.bits, 2), gigabytes(fit.left)])
    }
    print("\n" + table.text)
  }
}
