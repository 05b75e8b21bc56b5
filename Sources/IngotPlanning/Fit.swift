import IngotModels
import IngotSystem
import IngotTensors

/// How a model lies in a machine's memory: of the device that has the least to spare.
public struct Fit: Sendable {
  /// Bytes that the model may take there, and why not all of it.
  public var capacity: Int
  /// Weights on the device.
  public var weights: Int
  /// Keys and values.
  public var cache: Int
  /// Activations, the driver's share and what loading takes at its peak.
  public var buffers: Int
  /// Bytes of experts in main memory beside the GPUs.
  public var inMainMemory = 0
  /// Bytes of experts that are read from the disk again and again.
  public var onDisk = 0
  /// How it is laid out, for people: `4 GPUs, tensor parallel`, `experts of 40 layers in main memory`.
  public var layout = ""
  /// Tokens a second that no implementation can pass, by the bytes that one token reads; nil when rates are not known.
  public var bound: Double?

  /// Bytes to spare; below zero when it does not fit.
  public var left: Int { capacity - weights - cache - buffers }
  public var fits: Bool { left >= 0 && onDisk == 0 }
}

/// What is asked of a machine.
public struct Demand: Sendable {
  public var blueprint: Blueprint
  public var weights: Weights
  public var context: Int
  public var cache: CachePrecision

  public init(_ blueprint: Blueprint, _ weights: Weights, context: Int, cache: CachePrecision = .f16) {
    self.blueprint = blueprint
    self.weights = weights
    self.context = context
    self.cache = cache
  }

  /// Main memory that the system and other programs keep.
  static let system = 4 << 30

  /// How the model lies on the machine when the engine runs it; nil when the engine does not run there.
  public func fit(_ engine: Engine, _ machine: Machine) -> Fit? {
    guard engine.runs(on: machine.memory) else { return nil }
    switch machine.memory {
    case .unified(let bytes, let share):
      // The processor may have what the system does not keep.
      let isOurs = engine == .ingot && share < 1
      let capacity = isOurs ? max(bytes - Demand.system, 0) : Int(Double(bytes) * share)
      var fit = whole(engine, devices: 1, capacity: capacity)
      if engine == .ingot { return fit }
      fit.bound = machine.bandwidth.map { $0 / bytesPerToken }
      return fit
    case .gpus(let count, let bytes):
      return engine == .vllm
        ? parallel(engine, count, bytes, machine) : layered(engine, count, bytes, machine)
    case .main(let bytes, let gpus, let gpuBytes):
      if engine == .ingot {
        return whole(engine, devices: 1, capacity: max(bytes - Demand.system, 0))
      }
      return offloaded(engine, bytes, gpus, gpuBytes, machine)
    }
  }

  private var cacheBytes: Int { blueprint.cacheBytes(context: context, cache) }

  /// Bytes that one token reads, half of the context's cache among them.
  private var bytesPerToken: Double {
    let read = weights.read(blueprint)
    return read.experts + read.rest + Double(cacheBytes) / 2
  }

  private func buffers(_ engine: Engine, devices: Int) -> Int {
    engine.activations(blueprint, context: context) + engine.perDevice
      + engine.loading(weights, devices: devices)
  }

  private func whole(_ engine: Engine, devices: Int, capacity: Int) -> Fit {
    Fit(
      capacity: capacity, weights: weights.total,
      cache: engine.cacheBytes(blueprint, context: context, cache), buffers: buffers(engine, devices: devices)
    )
  }

  /// Layers are dealt out; a token passes the GPUs one after another.
  private func layered(_ engine: Engine, _ count: Int, _ bytes: Int, _ machine: Machine) -> Fit {
    let layers = max(blueprint.layerCount, 1)
    let most = (layers + count - 1) / count
    let layer = (weights.experts + weights.shared) / layers
    // Embedding and head stand with the first and the last layers.
    var fit = Fit(
      capacity: bytes, weights: most * layer + (count == 1 ? weights.embedding + weights.head : weights.head),
      cache: cacheBytes * most / layers, buffers: buffers(engine, devices: count))
    fit.layout = count == 1 ? "" : "\(most) of \(layers) layers a GPU"
    fit.bound = machine.bandwidth.map { $0 / bytesPerToken }
    return fit
  }

  /// Each tensor is cut over the GPUs, experts whole when their width cannot be cut at groups.
  private func parallel(_ engine: Engine, _ count: Int, _ bytes: Int, _ machine: Machine) -> Fit {
    let (heads, keyHeads) = (blueprint.headed?.heads ?? 1, blueprint.headed?.keyValueHeads ?? 1)
    var notes = count == 1 ? [] : ["tensor parallel over \(count)"]
    if count > 1, let group = weights.expertGroup,
      blueprint.experts.intermediateSize % count != 0
        || (blueprint.experts.intermediateSize / count) % group != 0
    {
      notes.append(
        "experts whole (expert parallel): \(blueprint.experts.intermediateSize)/\(count) is not cut at groups of \(group)"
      )
    }
    let headsCut = heads % count == 0
    if !headsCut { notes.append("\(heads) heads are not divisible by \(count)") }
    let keyValueShare = max(1 / Double(count), 1 / Double(keyHeads))
    var fit = Fit(
      capacity: Int(Double(bytes) * engine.deviceShare),
      weights: (weights.experts + weights.shared + weights.embedding + weights.head) / count,
      cache: Int(Double(cacheBytes) * keyValueShare), buffers: buffers(engine, devices: count))
    if !headsCut { fit.weights = Int.max / 4 }
    fit.layout = notes.joined(separator: "; ")
    fit.bound = machine.bandwidth.map { Double(count) * $0 / bytesPerToken }
    return fit
  }

  /// GPUs hold attention, cache and as many layers' experts as fit; main memory the rest, and what it does not hold
  /// is read from the disk for every token.
  private func offloaded(
    _ engine: Engine, _ main: Int, _ gpus: Int, _ gpuBytes: Int, _ machine: Machine
  ) -> Fit {
    let room = max(main - Demand.system, 0)
    let read = weights.read(blueprint)
    guard gpus > 0 else {
      var fit = whole(engine, devices: 1, capacity: room)
      fit.buffers -= engine.perDevice
      if fit.left < 0, -fit.left <= weights.experts { spill(&fit, -fit.left) }
      fit.bound = speed(fit, machine, inMain: read.experts + read.rest + Double(cacheBytes) / 2, onGPU: 0)
      return fit
    }
    let layer = weights.experts / max(blueprint.layerCount, 1)
    var fit = Fit(
      capacity: gpus * gpuBytes, weights: weights.shared + weights.embedding + weights.head,
      cache: cacheBytes,
      buffers: buffers(engine, devices: gpus) + (gpus - 1) * engine.perDevice)
    let layers = fit.left > 0 && layer > 0 ? min(fit.left / layer, blueprint.layerCount) : 0
    fit.weights += layers * layer
    fit.inMainMemory = weights.experts - layers * layer
    fit.layout =
      "experts of \(blueprint.layerCount - layers) of \(blueprint.layerCount) layers in main memory"
    if fit.inMainMemory > room { spill(&fit, fit.inMainMemory - room) }
    let inMain = read.experts * Double(fit.inMainMemory) / Double(max(weights.experts, 1))
    fit.bound = speed(
      fit, machine, inMain: inMain, onGPU: read.experts - inMain + read.rest + Double(cacheBytes) / 2)
    return fit
  }

  private func spill(_ fit: inout Fit, _ bytes: Int) {
    fit.onDisk = bytes
    if fit.inMainMemory > 0 { fit.inMainMemory -= bytes } else { fit.weights -= bytes }
  }

  /// One token waits for the disk, main memory and the GPUs in turn.
  private func speed(_ fit: Fit, _ machine: Machine, inMain: Double, onGPU: Double) -> Double? {
    guard let bandwidth = machine.bandwidth else { return nil }
    var seconds = onGPU > 0 ? onGPU / (machine.gpuBandwidth ?? bandwidth) : 0
    let read = weights.read(blueprint).experts
    let cold = read * Double(fit.onDisk) / Double(max(weights.experts, 1))
    seconds += max(inMain - cold, 0) / bandwidth
    if cold > 0 {
      guard let disk = machine.disk else { return nil }
      seconds += cold / disk
    }
    return 1 / seconds
  }

  /// The longest context, in tokens, that still fits, up to the model's own; nil when none does.
  public func longestContext(_ engine: Engine, _ machine: Machine) -> Int? {
    func holds(_ context: Int) -> Bool {
      var demand = self
      demand.context = context
      return demand.fit(engine, machine)?.fits ?? false
    }
    guard holds(1) else { return nil }
    var (low, high) = (1, blueprint.contextLength)
    if holds(high) { return high }
    while high - low > 1 {
      let middle = (low + high) / 2
      if holds(middle) { low = middle } else { high = middle }
    }
    return low
  }
}
