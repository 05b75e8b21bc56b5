import IngotFormats
import IngotInference
import IngotModels
import IngotPlanning
import IngotQuantization
import IngotSystem
import IngotTensors

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// What is to be made for a machine, by which road, and why.
public struct FitDecision: Sendable {
  /// How encodings are chosen.
  public enum Road: String, Sendable {
    /// Bits per tensor or expert by measured sensitivities.
    case measured
    /// The same, with fewer trials.
    case measuredQuickly = "measured-quickly"
    /// A recipe, its codes chosen by calibration.
    case calibratedRecipe = "calibrated-recipe"
    /// A recipe alone.
    case recipe
  }

  /// A choice in words.
  public struct Choice: Sendable {
    public var what: String
    public var choice: String
    public var reason: String

    var json: JSON { ["what": .string(what), "choice": .string(choice), "reason": .string(reason)] }
  }

  /// A piece of the work.
  public struct Step: Sendable {
    public enum Kind: String, Sendable { case calibrate, sensitivity, plan, quantize, verify }

    public var kind: Kind
    /// Seconds that it takes here, about; nil where that is not known.
    public var seconds: Double?
    /// Bytes that it leaves on the disk, about.
    public var disk: Int

    var json: JSON {
      ["step": .string(kind.rawValue), "seconds": seconds.map { JSON($0) } ?? .null, "disk": JSON(disk)]
    }
  }

  package let machine: Machine
  package let engine: Engine
  package let format: Format
  public let road: Road
  /// The recipe, and where a plan is measured, what would be taken without.
  public let recipe: String
  public let context: Int
  public let choices: [Choice]
  public let steps: [Step]
  /// Whether each layer is quantized on what the quantized layers before it give.
  public let follows: Bool
  /// Contexts of each text for calibration and for sensitivities.
  let calibrationChunks: Int
  static let sensitivityChunks = 4
  /// Of each held-out text.
  let verifyChunks: Int
  static let contextTokens = 512

  public var hours: Double { steps.reduce(0) { $0 + ($1.seconds ?? 0) } / 3600 }

  /// - Parameters:
  ///   - texts: how many there are to calibrate on.
  ///   - workers: threads that compute.
  ///   - known: the decision of an earlier run, as `json` has it; nil for none.
  /// - Throws: RequestError when nothing fits, or for a name that is none.
  init(_ model: Model, _ request: FitArtifactRequest, texts: Int, workers: Int, known: JSON?) throws {
    var choices: [Choice] = []
    machine = try FitDecision.machine(request, &choices)
    (engine, format) = try FitDecision.engine(request, machine, &choices)
    let longest = model.blueprint.contextLength
    context = request.context ?? min(longest, 1 << 15)
    choices.append(
      Choice(
        what: "context", choice: "\(grouped(context)) tokens",
        reason: request.context != nil
          ? "asked for"
          : context == longest
            ? "the model's longest" : "enough for most work; the model takes \(grouped(longest))"))
    let canRun = (try? model.requireForwardPass()) != nil
    let cost = canRun ? FitCost(model, format, workers: workers, texts: texts, hours: request.hours) : nil
    let best = try FitDecision.best(
      model, machine, engine, format, context, request, canMeasure: canRun && format.traits.sharing != nil)
    // Rates of a machine change: a run that resumes goes by what was decided first.
    let isSame =
      known?["machine"]?.string == machine.name && known?["engine"]?.string == engine.rawValue
      && known?["context"]?.int == context
    let known = isSame ? known : nil
    let earlier = known?["road"]?.string.flatMap(Road.init)
    let (found, reason) = FitDecision.road(format, best, cost, hours: request.hours)
    let road = earlier ?? found
    self.road = road
    recipe = known?["recipe"]?.string ?? best.recipe
    calibrationChunks = known?["calibrationContexts"]?.int ?? cost?.calibrationChunks ?? 0
    choices.append(
      Choice(
        what: "road", choice: road.rawValue,
        reason: earlier == nil ? reason : "decided when the run began"))
    if road == .recipe || road == .calibratedRecipe {
      choices.append(
        Choice(
          what: "recipe", choice: recipe,
          reason: best.bits.map { "the most bits that fit, \(fixed($0, 2)) a weight" } ?? "the usual one"))
    }
    let used = (road == .recipe ? 0 : cost?.calibration ?? 0) + (cost?.quantization ?? 0)
    verifyChunks =
      known?["verifyContexts"]?.int ?? cost?.verifyChunks(leaving: used, hours: request.hours) ?? 0
    follows =
      road != .recipe
      && (known?["sequential"]?.bool
        ?? cost.map { FitDecision.hasTimeToFollow($0, road, hours: request.hours) } ?? false)
    if road != .recipe {
      choices.append(
        Choice(
          what: "layers", choice: follows ? "one after the other" : "each by itself",
          reason: follows
            ? "each is calibrated on what the quantized ones before it give, and corrects their error"
            : "to calibrate each on the quantized ones before it would take more than the hours allow"))
    }
    if verifyChunks == 0 {
      choices.append(
        Choice(
          what: "verification", choice: "none",
          reason: cost != nil
            ? "a single context of each text would take longer than the hours" : "there is no forward pass"))
    }
    self.choices = choices
    steps = FitDecision.steps(
      road, model, cost, follows: follows, verifyChunks: verifyChunks, bytes: best.bytes)
  }

  /// The built-in recipe with the most bits that fits, or what a plan has to do better.
  private struct Best {
    var recipe: String
    /// nil where the format has no recipes of its own.
    var bits: Double?
    var bytes: Int
    /// Whether the recipe fits.
    var fits: Bool
  }

  /// - Throws: RequestError when nothing fits.
  private static func best(
    _ model: Model, _ machine: Machine, _ engine: Engine, _ format: Format, _ context: Int,
    _ request: FitArtifactRequest, canMeasure: Bool
  ) throws -> Best {
    let choices: FitChoices
    do {
      choices = try FitChoices(
        model,
        FitRequest(
          context: context, cache: request.cache, engine: engine, format: format.name,
          machines: request.machines))
    } catch let error as RequestError where error.member == .engine || error.member == .format {
      // Recipes of any format are for ours, which plans encodings of any number of bits.
      guard canMeasure, format.name == Format.ingot.name else { throw error }
      let recipe = PlanChoice.usualRecipe(forOutput: "", format: format.name)
      let weights = Weights(model, try format.requireFitted(Recipe.named(recipe).plan(for: model), model))
      let fit = Demand(model.blueprint, weights, context: context, cache: request.cache).fit(engine, machine)
      // Plans go down to half of its bits.
      guard let fit, fit.cache + fit.buffers + fit.weights / 2 <= fit.capacity else {
        throw RequestError(.machine, refusal(recipe, fit, machine, engine, context))
      }
      return Best(recipe: recipe, bits: nil, bytes: weights.total, fits: false)
    }
    if let (choice, _) = choices.best(on: machine).first {
      return Best(recipe: choice.recipe.name, bits: choice.bits, bytes: choice.weights.total, fits: true)
    }
    let smallest = choices.smallest
    let fit = choices.fit(smallest, machine)
    // Half of the experts may go.
    let needed = fit.map {
      $0.cache + $0.buffers + (request.allowsDrops && canMeasure ? $0.weights / 2 : $0.weights)
    }
    guard let fit, let needed, needed <= fit.capacity else {
      throw RequestError(
        .machine,
        refusal(smallest.recipe.name, fit, machine, engine, context)
          + (canMeasure && !request.allowsDrops && model.blueprint.experts.count > 0
            ? ", or allow that experts are left out" : ""))
    }
    return Best(recipe: smallest.recipe.name, bits: smallest.bits, bytes: smallest.weights.total, fits: false)
  }

  private static func machine(_ request: FitArtifactRequest, _ choices: inout [Choice]) throws -> Machine {
    if let name = request.machine {
      let machine = try FitChoices.machine(name, machines: request.machines)
      choices.append(Choice(what: "machine", choice: name, reason: "asked for"))
      return machine
    }
    let memory = sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE))
    var machine = Machine(bytes: memory * 3 / 4)
    machine.name = "this machine"
    choices.append(
      Choice(
        what: "machine", choice: machine.name,
        reason: "none was asked for; three quarters of its \(decimal(memory)) of memory"))
    return machine
  }

  private static func engine(_ request: FitArtifactRequest, _ machine: Machine, _ choices: inout [Choice])
    throws -> (Engine, Format)
  {
    let engine = request.engine ?? .llamaCpp
    guard engine.runs(on: machine.memory) else {
      throw RequestError(
        .engine,
        "\(engine.rawValue) does not run on \(machine.name); "
          + Engine.allCases.filter { $0.runs(on: machine.memory) }.map(\.rawValue).joined(separator: ", ")
          + " do")
    }
    choices.append(
      Choice(
        what: "engine", choice: engine.rawValue,
        reason: request.engine != nil
          ? "asked for" : "runs on every machine, and takes any mixed-precision plan"))
    let formats = Format.all.filter { engine.loads($0.traits) }
    let planned = formats.first { $0.traits.sharing != nil }
    guard let format = planned ?? formats.first else {
      throw RequestError(.engine, "no format here is for \(engine.rawValue)")
    }
    choices.append(
      Choice(
        what: "format", choice: format.name,
        reason: planned != nil
          ? "\(engine.rawValue) loads it, each tensor in an encoding of its own"
          : "\(engine.rawValue) loads it"))
    return (engine, format)
  }

  private static func refusal(
    _ recipe: String, _ fit: Fit?, _ machine: Machine, _ engine: Engine, _ context: Int
  ) -> String {
    guard let fit else { return "\(machine.name): \(engine.rawValue) does not run there" }
    return
      "\(machine.name): nothing fits: it lets a model have \(decimal(fit.capacity)), and recipe \(recipe) takes "
      + "\(decimal(fit.weights)), its cache of \(grouped(context)) tokens \(decimal(fit.cache)) and \(engine.rawValue) "
      + "\(decimal(fit.buffers)); ask for a shorter context or another machine"
  }

  /// Bits from which on more of them, or other ones, change little.
  private static let enoughBits = 7.5

  private static func road(_ format: Format, _ best: Best, _ cost: FitCost?, hours: Double) -> (Road, String)
  {
    guard let cost else {
      return (.recipe, "this family has no forward pass here, so nothing can be measured")
    }
    if best.fits, best.bits ?? 0 >= enoughBits {
      return (.recipe, "\(best.recipe) fits, and loses next to nothing as it is")
    }
    let base = cost.calibration + cost.quantization + cost.verification
    let budget = hours * 3600
    func spoken(_ seconds: Double) -> String { duration(seconds) }
    if format.traits.sharing != nil {
      if base + cost.sensitivity <= budget {
        return (
          .measured,
          "sensitivities take about \(spoken(cost.sensitivity)) here, all of it \(spoken(base + cost.sensitivity))"
        )
      }
      if base + cost.quickSensitivity <= budget || !best.fits {
        return (
          .measuredQuickly,
          "full sensitivities would take about \(spoken(cost.sensitivity)), quick ones \(spoken(cost.quickSensitivity))"
        )
      }
    }
    if base <= budget {
      return (
        .calibratedRecipe,
        format.traits.sharing == nil
          ? "\(format.name) has one encoding for all tensors, so there is nothing to plan"
          : "quick sensitivities would take about \(spoken(cost.quickSensitivity)), more than the hours allow"
      )
    }
    return (
      .recipe, "calibration and its quantization would take about \(spoken(base)), more than the hours allow"
    )
  }

  /// Whether calibrating each layer on the quantized ones before it stays within the hours beside all else.
  private static func hasTimeToFollow(_ cost: FitCost, _ road: Road, hours: Double) -> Bool {
    let measuring =
      switch road {
      case .measured: cost.sensitivity
      case .measuredQuickly: cost.quickSensitivity
      case .calibratedRecipe, .recipe: 0.0
      }
    let rest = cost.calibration + measuring + cost.quantization + cost.verification
    return rest + cost.following <= hours * 3600
  }

  private static func steps(
    _ road: Road, _ model: Model, _ cost: FitCost?, follows: Bool, verifyChunks: Int, bytes: Int
  ) -> [Step] {
    var steps: [Step] = []
    if road != .recipe {
      steps.append(Step(kind: .calibrate, seconds: cost?.calibration, disk: cost?.statistics ?? 0))
    }
    if road == .measured {
      steps.append(Step(kind: .sensitivity, seconds: cost?.sensitivity, disk: cost?.states ?? 0))
    }
    if road == .measuredQuickly {
      steps.append(Step(kind: .sensitivity, seconds: cost?.quickSensitivity, disk: cost?.states ?? 0))
    }
    if road == .measured || road == .measuredQuickly { steps.append(Step(kind: .plan, seconds: 10, disk: 0)) }
    steps.append(
      Step(
        kind: .quantize,
        seconds: road == .recipe
          ? cost.map { _ in Double(model.bytes) / 3e8 }
          : cost.map { $0.quantization + (follows ? $0.following : 0) },
        disk: bytes))
    if let cost, verifyChunks > 0 {
      steps.append(
        Step(
          kind: .verify, seconds: cost.verification * Double(verifyChunks) / Double(FitCost.verifyChunks),
          disk: 0))
    }
    return steps
  }

  /// The decision under the names that programs read.
  public var json: JSON {
    [
      "machine": .string(machine.name), "engine": .string(engine.rawValue), "format": .string(format.name),
      "road": .string(road.rawValue), "recipe": .string(recipe), "context": JSON(context),
      "sequential": .bool(follows), "calibrationContexts": JSON(calibrationChunks),
      "verifyContexts": JSON(verifyChunks),
      "choices": .array(choices.map(\.json)), "steps": .array(steps.map(\.json)),
    ]
  }
}
