import IngotFormats
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors
import Synchronization
import Testing

/// Tensors that are made together, by units that depend on each other or on statistics.
@Suite struct WorkUnitTests {
  /// What happened, in order; the same thing twice in a row counts once.
  private final class Events: Sendable {
    private let list = Mutex<[String]>([])

    func add(_ event: String) { list.withLock { if $0.last != event { $0.append(event) } } }
    var all: [String] { list.withLock { $0 } }
  }

  private static func planes(_ tensors: [Tensor]) throws(FormatError) -> WorkUnit.Planes {
    var planes: WorkUnit.Planes = [:]
    for tensor in tensors { planes[tensor.role] = try tensor.planes() }
    return planes
  }

  /// The linear layers of each layer, in one unit that follows that of the layer before.
  private func chained(_ model: Model, _ events: Events) throws -> Model {
    var units: [Int: WorkUnit] = [:]
    for layer in 0..<model.blueprint.layerCount {
      let tensors = model.tensors.filter { $0.role.layer == layer && model.blueprint.isLinear($0.role) }
      units[layer] = WorkUnit(tensors.map(\.role), reads: tensors, after: units[layer - 1]) {
        () async throws(FormatError) in
        events.add("begin \(layer)")
        await Task.yield()
        let planes = try Self.planes(tensors)
        events.add("end \(layer)")
        return planes
      }
    }
    return try model.mapTensors { tensor in
      guard model.blueprint.isLinear(tensor.role), let layer = tensor.role.layer else { return tensor }
      return tensor.made(by: units[layer]!, as: tensor.encoding)
    }
  }

  private func files(_ scratch: Scratch, _ name: String) throws -> [[UInt8]] {
    guard Folder.kind(scratch(name)) == .folder else { return [try Bytes.mapping(scratch(name)).array] }
    return try Folder.names(scratch(name)).sorted().map { try Bytes.mapping(scratch(name) + "/" + $0).array }
  }

  @Test(arguments: [("int4", "ingot"), ("q4_k_m", "gguf"), ("mlx-4bit", "mlx"), ("awq-4bit", "awq")])
  func unitsRunAfterTheirPredecessorsAndBytesStay(_ recipe: String, _ name: String) async throws {
    let scratch = try Scratch()
    let format = try #require(Format.named(name))
    let model = try Model.read(nano).quantized(recipe)
    _ = try await model.write(scratch("plain"), as: format, .with())
    let expected = try files(scratch, "plain")
    let order = (0..<model.blueprint.layerCount).flatMap { ["begin \($0)", "end \($0)"] }
    for workers in [1, 4] {
      let events = Events()
      let path = "chained \(workers)"
      _ = try await chained(model, events).write(scratch(path), as: format, .with(workers: workers))
      #expect(events.all == order)
      #expect(try files(scratch, path) == expected)
    }
  }

  @Test func predecessorsRunAgainAfterAStop() async throws {
    let scratch = try Scratch()
    let model = try Model.read(nano).quantized("int4")
    _ = try await model.write(scratch("whole.ingot"), as: .ingot, .with())
    for last in 0..<model.blueprint.layerCount - 1 {
      let events = Events()
      var options = WriteOptions.with(workers: 2)
      options.shouldStop = { events.all.contains("end \(last)") }
      let error = try await awaitedRefusal {
        _ = try await chained(model, events).write(scratch("again.ingot"), as: .ingot, options)
      }
      #expect(error?.cause == .stopped)
    }
    let events = Events()
    _ = try await chained(model, events).write(scratch("again.ingot"), as: .ingot, .with(workers: 2))
    #expect(events.all.first == "begin 0" && events.all.last == "end \(model.blueprint.layerCount - 1)")
    #expect(try files(scratch, "again.ingot") == files(scratch, "whole.ingot"))
  }

  @Test func statisticsAreInMemoryWhileUnitsNeedThem() async throws {
    let scratch = try Scratch()
    let model = try Model.read(nano).quantized("int4")
    let events = Events()
    let loaded = Mutex<Set<Int>>([])
    var units: [Role: WorkUnit] = [:]
    for tensor in model.tensors where model.blueprint.isLinear(tensor.role) {
      guard let layer = tensor.role.layer else { continue }
      let statistics = WorkUnit.Statistics(
        layer: layer,
        load: { () async throws(FormatError) in
          if loaded.withLock({ $0.insert(layer).inserted }) { events.add("load \(layer)") }
        },
        unload: {
          loaded.withLock { _ = $0.remove(layer) }
          events.add("unload \(layer)")
        })
      units[tensor.role] = WorkUnit([tensor.role], reads: [tensor], statistics: statistics) {
        _ throws(FormatError) in
        #expect(loaded.withLock { $0.contains(layer) })
        return try Self.planes([tensor])
      }
    }
    let made = try model.mapTensors { tensor in
      units[tensor.role].map { tensor.made(by: $0, as: tensor.encoding) } ?? tensor
    }
    #expect(made.workUnits.count == model.tensors.count)
    _ = try await made.write(scratch("units.ingot"), as: .ingot, .with(workers: 3))
    let layers = 0..<model.blueprint.layerCount
    #expect(events.all.count == 2 * layers.count, "each layer once: \(events.all)")
    for layer in layers {
      #expect(events.all.contains("load \(layer)") && events.all.contains("unload \(layer)"))
    }
    #expect(loaded.withLock { $0.isEmpty })
    _ = try await model.write(scratch("plain.ingot"), as: .ingot, .with())
    #expect(try files(scratch, "units.ingot") == files(scratch, "plain.ingot"))
  }

  /// The model with a unit for every linear layer of its layers; `run` is called when one runs.
  private func unitEach(
    _ model: Model, memory: Int = 0, _ run: @escaping @Sendable (Role) -> Void
  ) throws -> Model {
    let roles = model.tensors.map(\.role).filter { $0.layer != nil && model.blueprint.isLinear($0) }
    var units: [Role: WorkUnit] = [:]
    for (index, role) in roles.enumerated() {
      let tensor = model[role]!
      let statistics = WorkUnit.Statistics(layer: role.layer!, load: {}, unload: {})
      units[role] = WorkUnit(
        [role], reads: [tensor], statistics: statistics, operations: Double(index * 7 % 11), memory: memory
      ) { _ throws(FormatError) in
        run(role)
        return try Self.planes([tensor])
      }
    }
    return try model.mapTensors { tensor in
      units[tensor.role].map { tensor.made(by: $0, as: tensor.encoding) } ?? tensor
    }
  }

  @Test func theLongestUnitsOfALayerComeFirst() async throws {
    let scratch = try Scratch()
    let ran = Mutex<[Role]>([])
    let model = try unitEach(Model.read(nano).quantized("int4")) { role in ran.withLock { $0.append(role) } }
    _ = try await model.write(scratch("x.ingot"), as: .ingot, .with(workers: 1))
    let turns = ran.withLock { $0 }.map { (layer: $0.layer!, operations: model[$0]!.unit!.operations) }
    #expect(turns.count > 20)
    for (one, next) in zip(turns, turns.dropFirst()) {
      #expect((one.layer, -one.operations) <= (next.layer, -next.operations))
    }
  }

  @Test(arguments: [(2_000, 1), (1_000, 2), (10, 4)])
  func unitsTakeNoMoreThanTheMemory(_ memory: Int, _ most: Int) async throws {
    let scratch = try Scratch()
    let underWay = Mutex((now: 0, most: 0))
    let model = try unitEach(Model.read(nano).quantized("int4"), memory: memory) { _ in
      underWay.withLock { $0 = ($0.now + 1, max($0.most, $0.now + 1)) }
      underWay.withLock { $0.now -= 1 }
    }
    var options = WriteOptions.with(workers: 4)
    options.memory = 2_500
    _ = try await model.write(scratch("x.ingot"), as: .ingot, options)
    #expect(underWay.withLock { $0.most } <= most)
  }

  @Test func rowsAreHadApartBeforeAndAfterARun() async throws {
    let tensor = try #require(try Model.read(nano).quantized("int4")[.head])
    let dropped = Mutex(0)
    let asked = Mutex<[Range<Int>]>([])
    let maker = WorkUnit.RowMaker(
      step: 128,
      make: { _, rows throws(FormatError) in
        asked.withLock { $0.append(rows) }
        return try tensor.planes(rows: rows)
      }, drop: { dropped.withLock { $0 += 1 } })
    let unit = WorkUnit([tensor.role], reads: [tensor], statistics: nil, rowMaker: maker) {
      _ throws(FormatError) in try Self.planes([tensor])
    }
    let made = tensor.made(by: unit, as: tensor.encoding)
    #expect(made.rowStep == 128)
    let rows = 128..<256
    let wanted = try tensor.planes(rows: rows).map(\.array)
    #expect(try made.planes(rows: rows).map(\.array) == wanted)
    #expect(asked.withLock { $0 } == [rows])
    try await unit.run()
    #expect(try made.planes(rows: rows).map(\.array) == wanted)
    #expect(try made.planes(rows: rows).map(\.array) == wanted)
    #expect(asked.withLock { $0 } == [rows], "the run has made them")
    unit.drop()
    #expect(dropped.withLock { $0 } == 1)
    #expect(try made.planes().map(\.array) == tensor.planes().map(\.array))
  }

  @Test func aFailedUnitEndsTheRun() async throws {
    let scratch = try Scratch()
    let model = try Model.read(nano).quantized("int4")
    let role = Role(.query, layer: 1)
    let made = try model.mapTensors { tensor in
      guard tensor.role == role else { return tensor }
      let unit = WorkUnit([role], reads: [tensor], statistics: nil) { _ throws(FormatError) in
        throw tensor.error("a unit that works", found: "one that fails")
      }
      return tensor.made(by: unit, as: tensor.encoding)
    }
    let error = try await awaitedRefusal {
      _ = try await made.write(scratch("failed.ingot"), as: .ingot, .with(workers: 2))
    }
    #expect("\(error!)".contains("a unit that works"))
    #expect(try scratch.names.isEmpty)
  }
}
