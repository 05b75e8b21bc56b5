import IngotSystem
import IngotTensors
import Yams

/// Hardware that a model is to run on.
public struct Machine: Sendable {
  public var name: String
  public var title: String
  /// Where weights, cache and buffers may lie.
  public var memory: Memory
  /// Bytes a second of the memory that most weights are read from; nil when it is not stated.
  public var bandwidth: Double?
  /// Of the GPUs, where main memory is beside them.
  public var gpuBandwidth: Double?
  /// Bytes a second from the disk, for weights that main memory does not hold.
  public var disk: Double?

  public enum Memory: Hashable, Sendable {
    /// Shared by processor and GPU; `share` is what the system lets the GPU have.
    case unified(bytes: Int, share: Double)
    /// GPUs alone hold the model.
    case gpus(count: Int, bytes: Int)
    /// Main memory, which experts may lie in, and GPUs, maybe none.
    case main(bytes: Int, gpus: Int, gpuBytes: Int)
  }

  /// A machine of which only the bytes are known that weights, cache and buffers may take together.
  public init(bytes: Int) {
    name = "\(bytes)"
    title = "memory for the model"
    memory = .unified(bytes: bytes, share: 1)
  }

  init(name: String, title: String, memory: Memory) {
    self.name = name
    self.title = title
    self.memory = memory
  }

  /// The machines of the built-in data file.
  public static let builtIn: [Machine] = {
    do {
      return try read(PackageResources.machines_yaml, path: "machines.yaml")
    } catch {
      preconditionFailure("built-in machines: \(error)")
    }
  }()

  /// The built-in machines and those of a file, which replace ones of the same name.
  public static func all(adding path: String?) throws(FormatError) -> [Machine] {
    guard let path else { return builtIn }
    let bytes = try Bytes.mapping(path)
    guard bytes.count <= sizeLimit else {
      throw FormatError(
        path: path, expected: "a YAML file of machines, at most \(sizeLimit) bytes",
        found: "\(bytes.count) bytes")
    }
    let own = try read(bytes.array, path: path)
    return builtIn.filter { machine in !own.contains { $0.name == machine.name } } + own
  }

  private static let sizeLimit = 1 << 20

  /// - Throws: FormatError that names the line, what was expected and what was found.
  static func read(_ bytes: [UInt8], path: String) throws(FormatError) -> [Machine] {
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw FormatError(path: path, expected: "a YAML file of machines in UTF-8", found: "other bytes")
    }
    try requireNoAnchors(text, path: path)
    let root: Node?
    do {
      root = try Yams.compose(yaml: text)
    } catch {
      throw FormatError(path: path, expected: "YAML", found: "\(error)")
    }
    guard let list = root?.mapping?["machines"]?.sequence else {
      throw FormatError(
        path: path, expected: "a list under 'machines', each with a name and its memory", found: "none")
    }
    guard list.count <= 10_000 else {
      throw FormatError(path: path, expected: "at most 10000 machines", found: "\(list.count)")
    }
    var machines: [Machine] = []
    for node in list { machines.append(try MachineReader(path: path, node: node).machine()) }
    return machines
  }
}

/// Turns one entry of the data file into a machine.
private struct MachineReader {
  let path: String
  let node: Node

  private static let keys = [
    "name", "title", "unified-memory", "gpu-share", "memory", "gpus", "gpu-memory", "bandwidth",
    "gpu-bandwidth", "disk",
  ]

  func wrong(_ expected: String, _ found: String) -> FormatError {
    FormatError(
      path: path, expected: (node.mark.map { "line \($0.line): " } ?? "") + expected, found: found)
  }

  func text(_ key: String) -> String? { node.mapping?[key]?.scalar?.string }

  func size(_ key: String) throws(FormatError) -> Int? {
    guard let text = text(key) else { return nil }
    guard let size = ByteSize(text) else { throw wrong("a size such as 96 GiB for '\(key)'", "'\(text)'") }
    return size.bytes
  }

  func machine() throws(FormatError) -> Machine {
    guard let mapping = node.mapping else {
      throw wrong("a machine as a mapping: its name and its memory", "another kind of value")
    }
    for (key, _) in mapping {
      guard let name = key.scalar?.string, MachineReader.keys.contains(name) else {
        throw wrong(
          "one of the keys \(MachineReader.keys.joined(separator: ", "))", "'\(key.scalar?.string ?? "")'")
      }
    }
    guard let name = text("name"), !name.isEmpty else { throw wrong("a 'name' for each machine", "none") }
    var machine = Machine(name: name, title: text("title") ?? name, memory: try memory())
    machine.bandwidth = try size("bandwidth").map(Double.init)
    machine.gpuBandwidth = try size("gpu-bandwidth").map(Double.init)
    machine.disk = try size("disk").map(Double.init)
    return machine
  }

  private func memory() throws(FormatError) -> Machine.Memory {
    var count = 0
    if let text = text("gpus") {
      guard let value = Int(text), (0...1024).contains(value) else {
        throw wrong("'gpus' from 0 to 1024", "'\(text)'")
      }
      count = value
    }
    let each = try size("gpu-memory") ?? 0
    guard count == 0 || each > 0 else { throw wrong("'gpu-memory' beside 'gpus', such as 24 GiB", "none") }
    if let bytes = try size("unified-memory") {
      var share = 0.75
      if let text = text("gpu-share") {
        guard let value = Double(text), value > 0, value <= 1 else {
          throw wrong("a 'gpu-share' above 0 and at most 1", "'\(text)'")
        }
        share = value
      }
      return .unified(bytes: bytes, share: share)
    }
    if let bytes = try size("memory") { return .main(bytes: bytes, gpus: count, gpuBytes: each) }
    guard count > 0 else { throw wrong("'unified-memory', 'memory' or 'gpus'", "none of them") }
    return .gpus(count: count, bytes: each)
  }
}
