import Foundation
import IngotFormats
import IngotInference
import IngotModels
import IngotSystem
import IngotTensors
import Testing

/// Checkpoints of every family with the logits that transformers gives (scripts/tools reference-families).
enum FamilyFixtures {
  static let folder = URL(filePath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().appending(path: "Fixtures/families").path

  /// Names of the cases that have logits.
  static let cases: [String] = ((try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? [])
    .filter { FileManager.default.fileExists(atPath: "\(folder)/\($0)/golden.safetensors") }.sorted()

  /// One case of each family.
  static let families = cases.reduce(into: [String]()) { kept, name in
    let family = name.prefix { $0 != "-" }
    if !kept.contains(where: { $0.prefix { $0 != "-" } == family }) { kept.append(name) }
  }

  /// Token ids and logits of a case.
  static func golden(_ name: String) throws -> (contexts: [Context], logits: [Float]) {
    let path = "\(folder)/\(name)/golden.safetensors"
    let bytes = try Data(contentsOf: URL(filePath: path))
    let length = (0..<4).reduce(0) { (sum: Int, place: Int) -> Int in sum | Int(bytes[place]) << (8 * place) }
    let header = try JSON.parse(Array(bytes[8..<8 + length]), path: path)
    func data(_ name: String) throws -> ([Int], Data) {
      let entry = try #require(header[name])
      let offsets = (entry["data_offsets"]?.array ?? []).compactMap(\.int)
      let shape = (entry["shape"]?.array ?? []).compactMap(\.int)
      return (shape, Data(bytes[8 + length + offsets[0]..<8 + length + offsets[1]]))
    }
    let (shape, ids) = try data("ids")
    let tokens = (0..<shape[0] * shape[1]).map { (index: Int) -> Int in
      Int(ids[8 * index]) | Int(ids[8 * index + 1]) << 8
    }
    let contexts = (0..<shape[0]).map { Context(Array(tokens[$0 * shape[1]..<($0 + 1) * shape[1]])) }
    let (_, logits) = try data("logits")
    let values = (0..<logits.count / 4).map { (index: Int) -> Float in
      var bits: UInt32 = 0
      for byte in 0..<4 { bits |= UInt32(logits[4 * index + byte]) << UInt32(8 * byte) }
      return Float(bitPattern: bits)
    }
    return (contexts, values)
  }

  /// Cases that llama.cpp's graph of their family computes otherwise: routers, dense layers, biases, scales of scores, heads,
  /// indexers, chunks, factors.
  static let notInLlamaCpp: Set<String> = [
    "qwen3_moe-raw", "qwen3_moe-step", "qwen3-mixed-yarn", "gemma2-capped", "gemma3-nested", "gemma3-text",
    "olmoe-norm", "qwen2_moe-norm", "qwen3_next-long", "qwen3_next-norm", "qwen3_5-dense",
    "qwen3_5_moe-fused", "deepseek_v2-groups", "deepseek_v3-lite", "gpt_oss-plain",
    "deepseek_v32-plain", "deepseek_v32-fp8", "glm_moe_dsa-full", "glm_moe_dsa-shared", "minimax_m3-plain",
    "minimax-plain", "minimax-text01", "llama4-scout", "llama4-maverick",
  ]

  /// A copy of a case with the config as transformers 4 writes it.
  static func legacy(_ name: String, in scratch: String) throws -> String? {
    let source = "\(folder)/\(name)"
    guard FileManager.default.fileExists(atPath: "\(source)/config.legacy.json") else { return nil }
    let target = "\(scratch)/\(name)"
    try FileManager.default.copyItem(atPath: source, toPath: target)
    try FileManager.default.removeItem(atPath: "\(target)/config.json")
    try FileManager.default.moveItem(atPath: "\(target)/config.legacy.json", toPath: "\(target)/config.json")
    return target
  }

  static func scratch() throws -> String {
    let path = FileManager.default.temporaryDirectory.appending(path: "ingot-families-\(UUID().uuidString)")
      .path
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    return path
  }

  /// ‖a − b‖ / ‖b‖ over all logits, and whether every position has the same top token.
  static func compare(_ model: Model, _ golden: (contexts: [Context], logits: [Float])) async throws -> (
    error: Double, sameTop: Bool
  ) {
    let found = try await logits(of: model, golden.contexts, workers: 2).flatMap { $0 }
    var (difference, norm) = (0.0, 0.0)
    for (a, b) in zip(found, golden.logits) {
      difference += (Double(a) - Double(b)) * (Double(a) - Double(b))
      norm += Double(b) * Double(b)
    }
    let vocabulary = model.blueprint.vocabulary
    func tops(_ values: [Float]) -> [Int] {
      stride(from: 0, to: values.count, by: vocabulary).map { first in
        (first..<first + vocabulary).max { values[$0] < values[$1] }! - first
      }
    }
    return (
      (difference / norm).squareRoot(),
      found.count == golden.logits.count && tops(found) == tops(golden.logits)
    )
  }
}

@Suite struct FamilyTests {
  @Test func thereAreFixturesOfEveryFamily() {
    let prefixes = Set(FamilyFixtures.cases.map { String($0.prefix { $0 != "-" }) })
    for family in Family.all {
      #expect(family.modelTypes.contains { prefixes.contains($0) }, "\(family.name)")
    }
  }

  @Test(arguments: FamilyFixtures.cases) func logitsAreThoseOfTransformers(_ name: String) async throws {
    let golden = try FamilyFixtures.golden(name)
    let model = try Model.read("\(FamilyFixtures.folder)/\(name)")
    let (error, sameTop) = try await FamilyFixtures.compare(model, golden)
    #expect(error <= 1e-5 && sameTop, "\(name): \(error)")
  }

  @Test(arguments: FamilyFixtures.cases) func configsOfTransformers4SayTheSame(_ name: String) async throws {
    let scratch = try FamilyFixtures.scratch()
    defer { try? FileManager.default.removeItem(atPath: scratch) }
    let path = try #require(try FamilyFixtures.legacy(name, in: scratch))
    let (error, sameTop) = try await FamilyFixtures.compare(
      try Model.read(path), try FamilyFixtures.golden(name))
    #expect(error <= 1e-5 && sameTop, "\(name): \(error)")
  }

  /// Written and read again by every format that takes dense values: the same logits.
  @Test(arguments: FamilyFixtures.cases, ["gguf", "mlx", "ingot", "safetensors"])
  func dense(_ name: String, as format: String) async throws {
    let scratch = try FamilyFixtures.scratch()
    defer { try? FileManager.default.removeItem(atPath: scratch) }
    let source = try Model.read("\(FamilyFixtures.folder)/\(name)")
    let path = scratch + "/model" + (format == "gguf" || format == "ingot" ? "." + format : "")
    let written: Written
    do {
      written = try await source.decodedToF32().write(
        path, as: try #require(Format.named(format)), WriteOptions())
    } catch let error as FormatError {
      // llama.cpp's graph of a family does not compute every variant.
      let known =
        switch format {
        case "gguf":
          source.family.llamaCpp == nil || FamilyFixtures.notInLlamaCpp.contains(name)
        case "mlx":
          source.family.mlx == nil
            || ["deepseek_v3-mtp", "glm_moe_dsa-shared", "glm_moe_dsa-even"].contains(name)
        case "safetensors": !source.family.hasEngineNames && source.family.stacks == nil
        default: false
        }
      #expect(known, "\(name) as \(format): \(error)")
      return
    }
    // What the format rounds is said, is as near as BF16 has it, and is all that moves the logits.
    var rounded: [Role: [Float]] = [:]
    for tensor in source.tensors where written.rounded.contains(tensor.name) {
      rounded[tensor.role] = try tensor.floats()
    }
    #expect(rounded.isEmpty || source.family.mlx?.addsOneToNorms == true && format == "mlx")
    let back = try Model.read(path).mapTensors { tensor throws(FormatError) in
      guard let values = rounded[tensor.role] else { return tensor }
      for (value, other) in zip(values, try tensor.floats()) {
        #expect(abs(value - other) <= abs(1 + value) / 256, "\(tensor.role)")
      }
      return source[tensor.role]!
    }
    let (error, sameTop) = try await FamilyFixtures.compare(back, try FamilyFixtures.golden(name))
    #expect(error <= 1e-5 && sameTop, "\(name) as \(format): \(error)")
  }
}

extension Model {
  /// The model with FP8 as F32; dense values as they are.
  fileprivate func decodedToF32() throws -> Model {
    try mapTensors { tensor throws(FormatError) in
      if case .dense = tensor.encoding { return tensor }
      let (encoding, columns) = (tensor.encoding, tensor.columns)
      return tensor.mapped(to: .dense(.f32)) { rows, planes in
        var values = [Float](repeating: 0, count: rows.count * columns)
        var span = values.mutableSpan
        encoding.decode(planes, rows: rows.count, columns: columns, into: &span)
        return [
          Bytes(count: 4 * values.count) { out in
            for (index, value) in values.enumerated() {
              out.storeBytes(of: value.bitPattern.littleEndian, toByteOffset: 4 * index, as: UInt32.self)
            }
          }
        ]
      }
    }
  }
}
