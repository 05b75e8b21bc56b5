import IngotFormats
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors
import Synchronization
import Testing

/// Writing layer by layer, each awaited, for models whose layers come to be one after the other.
@Suite struct LayerOrderTests {
  /// What was awaited and which layers' tensors were computed, in order.
  private final class Events: Sendable {
    private let list = Mutex<[String]>([])

    func add(_ event: String) { list.withLock { if $0.last != event { $0.append(event) } } }
    var all: [String] { list.withLock { $0 } }
  }

  @Test func layersAreAwaitedInOrderAndBytesStay() async throws {
    let scratch = try Scratch()
    let events = Events()
    let model = try Model.read(nano).quantized("int4")
    let watched = try model.mapTensors { tensor in
      tensor.mapped(to: tensor.encoding) { _, planes in
        events.add("tensors of \(tensor.role.layer.map { "\($0)" } ?? "none")")
        return planes
      }
    }
    _ = try await model.write(scratch("plain.ingot"), as: .ingot, .with())
    var options = WriteOptions.with()
    options.beforeLayer = { events.add("before \($0)") }
    _ = try await watched.write(scratch("awaited.ingot"), as: .ingot, options)
    let layers = model.blueprint.layerCount
    let expected =
      ["tensors of none"] + (0..<layers).flatMap { ["before \($0)", "tensors of \($0)"] }
      + ["before \(layers)", "tensors of none"]
    #expect(events.all == expected)
    let (one, other) = (
      try Bytes.mapping(scratch("plain.ingot")).array, try Bytes.mapping(scratch("awaited.ingot")).array
    )
    #expect(one == other)
  }
}
