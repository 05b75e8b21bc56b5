import Foundation
import IngotFormats
import IngotModels
import IngotPlanning
import IngotQuantization
import IngotSystem
import IngotTensors
import Testing

@Suite struct FitTests {
  /// MiniMax-M2's numbers, with weights of 4.5 bits in round figures.
  private static func demand(context: Int = 65536, cache: CachePrecision = .f16) throws -> Demand {
    let config = """
      {"model_type": "minimax_m2", "hidden_size": 3072, "num_hidden_layers": 62, "vocab_size": 200064,
       "num_attention_heads": 48, "num_key_value_heads": 8, "head_dim": 128, "rotary_dim": 64, "rope_theta": 5000000,
       "num_local_experts": 256, "num_experts_per_tok": 8, "intermediate_size": 1536, "rms_norm_eps": 1e-6,
       "scoring_func": "sigmoid", "use_routing_bias": true, "use_qk_norm": true, "qk_norm_type": "per_layer",
       "max_position_embeddings": 196608}
      """
    let blueprint = try Family.miniMaxM2.blueprint(Config(Array(config.utf8), path: "test"))
    var weights = Weights()
    weights.experts = 126_000_000_000
    weights.largestLayer = weights.experts / 62
    weights.shared = 1_600_000_000
    weights.embedding = 350_000_000
    weights.head = 350_000_000
    weights.expertGroup = 128
    return Demand(blueprint, weights, context: context, cache: cache)
  }

  private func machine(_ name: String) throws -> Machine {
    try #require(Machine.builtIn.first { $0.name == name })
  }

  @Test func cacheOfMiniMaxM2() throws {
    let blueprint = try FitTests.demand().blueprint
    // 2 · 62 layers · 8 heads · 128 values · 2 bytes a token.
    #expect(blueprint.cacheBytes(context: 1, .f16) == 253_952)
    #expect(blueprint.cacheBytes(context: 65536, .f16) == 16_642_998_272)
    #expect(blueprint.cacheBytes(context: 65536, .fp8) == 16_642_998_272 / 2)
    #expect(blueprint.cacheBytes(context: 65536, .q80) == 16_642_998_272 / 32 * 17)
  }

  @Test func aMacLeavesTheGPUThreeQuarters() throws {
    let demand = try FitTests.demand()
    let fit = try #require(demand.fit(.llamaCpp, machine("mac-192")))
    #expect(fit.capacity == 192 << 30 / 4 * 3)
    #expect(fit.weights == 128_300_000_000)
    #expect(!fit.fits == (fit.weights + fit.cache + fit.buffers > fit.capacity))
    #expect(demand.fit(.vllm, try machine("mac-192")) == nil)
  }

  @Test func ourForwardPassHoldsOneLayersKeysAndValues() throws {
    let demand = try FitTests.demand(context: 8192)
    let fit = try #require(demand.fit(.ingot, machine("mac-192")))
    // 2 · 8 heads · 128 values · 4 bytes a token; no GPU's share of memory.
    #expect(fit.cache == 2 * 8 * 128 * 4 * 8192 && fit.weights == 128_300_000_000)
    #expect(fit.capacity == (192 - 4) << 30 && fit.fits && fit.bound == nil)
    #expect(fit.buffers > 4 * 8192 * 3072 * 4 && fit.buffers < 20_000_000_000, "\(fit.buffers)")
    #expect(demand.fit(.ingot, try machine("8x24")) == nil, "GPUs alone")
    let longer = try #require(FitTests.demand(context: 16384).fit(.ingot, machine("mac-192")))
    #expect(longer.buffers > fit.buffers)
  }

  @Test func longestContextIsTheLastThatFits() throws {
    var demand = try FitTests.demand()
    let machine = try machine("mac-192")
    let longest = try #require(demand.longestContext(.llamaCpp, machine))
    #expect(longest > 1024 && longest < 196_608)
    demand.context = longest
    #expect(try #require(demand.fit(.llamaCpp, machine)).fits)
    demand.context = longest + 1
    #expect(try !#require(demand.fit(.llamaCpp, machine)).fits)
    // Eight bits a value hold about twice as much; the mask stays.
    demand.cache = .fp8
    let longer = try #require(demand.longestContext(.llamaCpp, machine))
    #expect(Double(longer) > 1.9 * Double(longest) || longer == 196_608)
  }

  @Test func expertsOverEightGPUsAreCutAtGroups() throws {
    // 1536 / 8 = 192 is no multiple of 128, but of 64.
    var demand = try FitTests.demand()
    let machine = try machine("8x24")
    let whole = try #require(demand.fit(.vllm, machine))
    #expect(whole.layout.contains("1536/8 is not cut at groups of 128"))
    demand.weights.expertGroup = 64
    #expect(try #require(demand.fit(.vllm, machine)).layout == "tensor parallel over 8")
    #expect(whole.weights == 128_300_000_000 / 8)
    #expect(whole.cache == demand.blueprint.cacheBytes(context: 65536, .f16) / 8)
  }

  @Test func moreGPUsThanKeyValueHeadsRepeatTheCache() throws {
    let demand = try FitTests.demand()
    var machine = try machine("8x24")
    machine.memory = .gpus(count: 16, bytes: 24 << 30)
    #expect(
      try #require(demand.fit(.vllm, machine)).cache == demand.blueprint.cacheBytes(context: 65536, .f16) / 8)
    machine.memory = .gpus(count: 5, bytes: 80 << 30)
    #expect(try !#require(demand.fit(.vllm, machine)).fits, "48 heads over 5 GPUs")
  }

  @Test func layersAreDealtOut() throws {
    let demand = try FitTests.demand()
    // 62 layers over 4 GPUs: one has 16.
    let fit = try #require(demand.fit(.llamaCpp, machine("4x48")))
    #expect(fit.layout == "16 of 62 layers a GPU")
    #expect(fit.weights == 16 * (127_600_000_000 / 62) + 350_000_000)
  }

  @Test func whatMainMemoryDoesNotHoldIsReadFromTheDisk() throws {
    let demand = try FitTests.demand(context: 8192)
    let large = try #require(demand.fit(.llamaCpp, machine("pc-192-32")))
    #expect(large.fits && large.onDisk == 0 && large.inMainMemory > 0)
    let small = try #require(demand.fit(.llamaCpp, machine("pc-64-24")))
    #expect(!small.fits && small.onDisk > 0)
    #expect(small.onDisk + small.inMainMemory + small.weights == demand.weights.total)
    #expect(try #require(small.bound) < #require(large.bound) / 4)
  }

  @Test func machinesOfAFileReplaceBuiltInOnes() throws {
    let own = """
      machines:
        - {name: mac-96, title: mine, unified-memory: 96 GiB, gpu-share: 0.9}
        - {name: attic, memory: 24 GB}
      """
    let path = FileManager.default.temporaryDirectory.appending(path: "machines-\(UUID().uuidString).yaml")
      .path
    defer { try? FileManager.default.removeItem(atPath: path) }
    try Data(own.utf8).write(to: URL(fileURLWithPath: path))
    let machines = try Machine.all(adding: path)
    #expect(machines.count == Machine.builtIn.count + 1)
    #expect(machines.first { $0.name == "mac-96" }?.memory == .unified(bytes: 96 << 30, share: 0.9))
    #expect(machines.last?.memory == .main(bytes: 24_000_000_000, gpus: 0, gpuBytes: 0))
  }

  @Test(arguments: [
    ("machines:\n  - &a {name: x}\n", "no anchors"), ("machines:\n  - {name: x}\n", "'unified-memory'"),
    ("machines:\n  - {name: x, gpus: 2}\n", "'gpu-memory'"),
    ("machines:\n  - {name: x, ram: 1 GB}\n", "one of the keys"),
    ("machines:\n  - {name: x, memory: much}\n", "a size such as"), ("[]", "a list under 'machines'"),
  ])
  func badMachinesAreRefused(_ text: String, _ words: String) throws {
    let path = FileManager.default.temporaryDirectory.appending(path: "machines-\(UUID().uuidString).yaml")
      .path
    defer { try? FileManager.default.removeItem(atPath: path) }
    try Data(text.utf8).write(to: URL(fileURLWithPath: path))
    let error = try #require(throws: FormatError.self) { try Machine.all(adding: path) }
    #expect(error.path == path && "\(error)".contains(words), "\(error)")
  }
}
