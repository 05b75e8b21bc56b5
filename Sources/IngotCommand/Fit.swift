import ArgumentParser
import IngotInference
import IngotModels
import IngotPlanning
import IngotReports
import IngotSystem
import IngotTensors
import IngotWorkflows
import Synchronization

struct Fit: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Make the best artifact of a model for a machine, from calibration to verification.",
    usage: "ingot fit <model> --machine <name> -o <folder> [options]",
    discussion: """
      Says first what it will do, why, and how long that takes here; --dry-run stops there. Then it \
      calibrates on the text that is part of ingot (and on yours), measures what each tensor can bear as far as \
      --hours allow, plans, quantizes, and verifies on text that nothing was chosen by. The folder gets the \
      artifact, a model card, the report as a page, and fit.json with every choice and its reason.
      An interrupted run resumes when the same command is run again. 'ingot plan MODEL' shows all machines.
      """)

  @Argument(
    help: "Folder, .safetensors, .gguf or .ingot file, or name on the HF Hub.", completion: .path)
  var model: String

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Machine, or memory for weights, cache and buffers together, such as 96GB (default: this machine).",
      valueName: "name or size"), completion: .machine)
  var machine: String?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Engine that runs it: \(Engine.allCases.map(\.rawValue).joined(separator: ", ")) (default: llama.cpp).",
      valueName: "name"))
  var engine: Engine?

  @Option(
    name: .long, parsing: .upToNextOption,
    help: ArgumentHelp("Texts or conversations that say what the model is used for.", valueName: "file"),
    completion: .path)
  var text: [String] = []

  @OptionGroup var template: ChatTemplateOption

  @Option(name: .long, help: ArgumentHelp("Time that all of it may take here, about.", valueName: "h"))
  var hours: Double = 8

  @Option(name: .long, help: ArgumentHelp("Context length in tokens, such as 64k.", valueName: "tokens"))
  var context: TokenCount?

  @Option(
    name: .long,
    help:
      "Precision of the key-value cache: \(CachePrecision.allCases.map(\.rawValue).joined(separator: ", ")).")
  var cache: CachePrecision = .f16

  @Flag(name: .long, help: "Let experts be left out where that is better than fewer bits.")
  var allowDrop = false

  @Option(
    name: .long,
    help: ArgumentHelp("YAML file with your machines, in the format of machines.yaml.", valueName: "file"),
    completion: .yaml)
  var machines: String?

  @Option(
    name: [.short, .long],
    help: ArgumentHelp("Folder for what is made (default: by model and machine).", valueName: "folder"),
    completion: .directory)
  var output: String?

  @Flag(name: .long, help: "Say what would be done, and how long it takes.")
  var dryRun = false

  @Flag(name: .long, help: "Discard what another request left in the folder.")
  var force = false

  @OptionGroup var reading: ReadingOptions
  @OptionGroup var work: WorkerOptions
  @OptionGroup var json: JSONOption

  func validate() throws {
    guard hours > 0 else { throw ValidationError("--hours must be above 0.") }
  }

  private var request: FitArtifactRequest {
    // Without the commit of one on the Hub.
    let name = RemoteFiles.folder(of: model)?.folder.repository ?? model
    let place = "\(Folder.name(of: name))-for-\(machine ?? "this-machine")"
    var request = FitArtifactRequest(model, to: output ?? place)
    request.machine = machine
    request.machines = machines
    request.engine = engine
    request.texts = text
    request.chatTemplate = template.chatTemplate
    request.hours = hours
    request.context = context?.tokens
    request.cache = cache
    request.allowsDrops = allowDrop
    request.force = force
    request.reading = reading.options
    return request
  }

  func run() async throws {
    let request = request
    let decision = try request.decided(workers: work.workers)
    if dryRun {
      print(json.json ? decision.json.text(indented: true) : decision.text)
      return
    }
    if !json.json {
      print(decision.text + "\n")
      try Terminal.finish()
    }
    Interrupt.handle()
    let workers = work.workers
    let shown = Shown()
    var control = RunControl()
    control.workers = workers
    control.progress = { shown.progress?.set($0, of: $1) }
    control.shouldStop = Interrupt.isRequested
    control.warning = { Terminal.error("warning: \($0)") }
    defer { shown.show(nil) }
    let result = try await request.run(control) { step, isDone in
      if isDone { Terminal.error("\(step.kind.rawValue): done before") }
      shown.show(isDone ? nil : step.kind.rawValue)
    }
    shown.show(nil)
    if json.json {
      print(result.json.text(indented: true))
      return
    }
    if let verified = result.verified {
      print(verified.report.table)
      if let outcome = verified.outcome { print("\n" + outcome.text) }
    }
    print("\n\(result.artifact)" + (result.page.map { "\n\($0)" } ?? ""))
    for violation in result.verified?.violations ?? [] {
      Terminal.error("outside the prediction: \(violation)")
    }
  }
}

/// The line of progress of the step at work.
private final class Shown: Sendable {
  private let current = Mutex<Progress?>(nil)

  var progress: Progress? { current.withLock { $0 } }

  func show(_ what: String?) {
    let next = what.map { Progress($0, total: 0) }
    let before = current.withLock { current in
      defer { current = next }
      return current
    }
    before?.finish()
  }
}

extension FitDecision {
  /// For people, at most 100 columns.
  var text: String {
    var lines: [String] = []
    var table = Table(["", "choice", "why"], left: [0, 1, 2])
    for choice in choices { table.add([choice.what, choice.choice, choice.reason]) }
    lines.append(table.text)
    lines.append("")
    var work = Table(["step", "about", "on the disk"], left: [0])
    for step in steps {
      work.add([
        step.kind.rawValue, step.seconds.map(duration) ?? "", step.disk > 0 ? decimal(step.disk) : "",
      ])
    }
    work.add(["all", duration(hours * 3600), decimal(steps.reduce(0) { $0 + $1.disk })])
    lines.append(work.text)
    return lines.joined(separator: "\n")
  }
}
