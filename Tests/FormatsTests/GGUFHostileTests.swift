import IngotFormats
import IngotModels
import IngotSystem
import IngotTensors
import Testing

/// Files that are no good: each is refused with a message that says where and what, and none stops the process.
@Suite struct GGUFHostileTests {
  struct Case: CustomTestStringConvertible, Sendable {
    var testDescription: String
    /// Part of the message.
    var says: String
    var change: @Sendable (inout GGUFBytes) -> Void

    init(_ name: String, says: String, _ change: @escaping @Sendable (inout GGUFBytes) -> Void) {
      testDescription = name
      self.says = says
      self.change = change
    }
  }

  private static func index(_ name: String, _ file: GGUFBytes) -> Int {
    file.tensors.firstIndex { $0.name == name }!
  }

  /// An array's payload: type, count, elements.
  private static func array(_ type: UInt32, _ count: UInt64, _ elements: [UInt8] = []) -> [UInt8] {
    GGUFBytes.little(type) + GGUFBytes.little(count) + elements
  }

  private static func nested(_ depth: Int) -> [UInt8] {
    depth == 0 ? array(4, 1, GGUFBytes.little(UInt32(7))) : array(9, 1, nested(depth - 1))
  }

  static let structure: [Case] = [
    Case("other magic", says: "magic") { $0.magic = Array("GGML".utf8) },
    Case("version 1", says: "version 1") { $0.version = 1 },
    Case("version 4", says: "version 4") { $0.version = 4 },
    Case("big endian", says: "big-endian") { $0.version = UInt32(3).byteSwapped },
    Case("more tensors stated", says: "an empty one") { $0.statedTensors = 1000 },
    Case("2^63 tensors stated", says: "number of tensors of at most") { $0.statedTensors = 1 << 63 },
    Case("2^64 - 1 values stated", says: "number of values of at most") { $0.statedValues = .max },
    Case("fewer tensors stated", says: "after the last tensor") { $0.statedTensors = 3 },
    Case("fewer values stated", says: "") { $0.statedValues = 2 },
    Case("more values stated", says: "") { $0.statedValues = 40 },
    Case("empty key", says: "an empty key") { $0.add("", uint32: 1) },
    Case("key twice", says: "'minimax-m2.block_count' a second time") {
      $0.add("minimax-m2.block_count", uint32: 1)
    },
    Case("long key", says: "length of a key of at most 65535") {
      $0.add(String(repeating: "k", count: 70_000), uint32: 1)
    },
    Case("value of type 13", says: "a type from 0 to 12") { $0.add("x", 13, [0]) },
    Case("value of type 2^32 - 1", says: "a type from 0 to 12") { $0.add("x", .max, [0]) },
    Case("bool of 2", says: "0 or 1") { $0.add("x", 7, [2]) },
    Case("bool of 2 in an array", says: "0 or 1") { $0.add("x", 9, array(7, 3, [0, 1, 2])) },
    Case("string beyond the file", says: "to the end") { $0.add("x", 8, GGUFBytes.little(UInt64(1 << 29))) },
    Case("string of 2^64 - 1", says: "at most 1073741824") { $0.add("x", 8, GGUFBytes.little(UInt64.max)) },
    Case("string that is not UTF-8", says: "in UTF-8") {
      $0.add("x", 8, GGUFBytes.little(UInt64(2)) + [0xC3, 0x28])
    },
    Case("array beyond the file", says: "to the end") { $0.add("x", 9, array(4, 1 << 29)) },
    Case("array of 2^64 - 1", says: "at most 1073741824") { $0.add("x", 9, array(0, .max)) },
    Case("array whose bytes overflow", says: "at most") { $0.add("x", 9, array(12, 1 << 62)) },
    Case("array of strings beyond the file", says: "to the end") { $0.add("x", 9, array(8, 1 << 20)) },
    Case("array of 2^25 strings", says: "at most 16777216") { $0.add("x", 9, array(8, 1 << 25)) },
    Case("array of arrays beyond the file", says: "to the end") { $0.add("x", 9, array(9, 1 << 20)) },
    Case("array of type 99", says: "a type from 0 to 12") { $0.add("x", 9, array(99, 1, [1])) },
    Case("arrays five deep", says: "at most 4 deep") { $0.add("x", 9, nested(5)) },
    Case("arrays a thousand deep", says: "at most 4 deep") { $0.add("x", 9, nested(1000)) },
    Case("alignment of 24", says: "a power of two") { $0.add("general.alignment", uint32: 24) },
    Case("alignment of 0", says: "a power of two") { $0.add("general.alignment", uint32: 0) },
    Case("alignment of 2^31", says: "a power of two") { $0.add("general.alignment", uint32: 1 << 31) },
    Case("alignment as text", says: "a power of two") { $0.add("general.alignment", "32") },
    Case("alignment the data has not", says: "multiple of 4096") {
      $0.add("general.alignment", uint32: 4096)
    },
    Case("name of 64 bytes", says: "length of a tensor's name of at most 63") {
      $0.tensors[0].name = String(repeating: "n", count: 64)
    },
    Case("empty name", says: "a name") { $0.tensors[0].name = "" },
    Case("name twice", says: "names that occur once") { $0.tensors[1].name = $0.tensors[0].name },
    Case("no dimensions", says: "1 to 4 dimensions") { $0.tensors[0].dims = [] },
    Case("five dimensions", says: "1 to 4 dimensions") { $0.tensors[0].dims = [1, 1, 1, 1, 1] },
    Case("dimension of 0", says: "dimensions from 1") { $0.tensors[0].dims = [4, 0] },
    Case("dimension of 2^63", says: "dimensions from 1") { $0.tensors[0].dims = [1 << 63, 1] },
    Case("values that overflow", says: "bytes can be counted") { $0.tensors[0].dims = [1 << 40, 1 << 40] },
    Case("bytes that overflow", says: "bytes can be counted") { $0.tensors[0].dims = [1 << 61, 2] },
    Case("tensor type 4, removed", says: "type 4 ") { $0.tensors[0].type = 4 },
    Case("tensor type 2^32 - 1", says: "type 4294967295") { $0.tensors[0].type = .max },
    Case("row that no block fits", says: "multiple of 256") { $0.tensors[0].type = 12 },
    Case("offset off its alignment", says: "multiple of 32") { $0.tensors[1].offset = 33 },
    Case("offset of 2^64 - 32", says: "multiple of 32") { $0.tensors[1].offset = .max - 31 },
    Case("offset near 2^63", says: "within the file") { $0.tensors[1].offset = UInt64(Int.max) - 31 },
    Case("offset beyond the file", says: "within the file") { $0.tensors[1].offset = 1 << 40 },
    Case("overlap", says: "an overlap") { $0.tensors[1].offset = 0 },
    Case("hole", says: "a hole") { file in
      for index in 1..<file.tensors.count { file.tensors[index].offset = UInt64(64 * index + 64) }
      file.tensors[15].data += [UInt8](repeating: 0, count: 4096)
    },
    Case("bytes behind the last tensor", says: "more bytes") {
      $0.tensors[15].data += [UInt8](repeating: 0, count: 64)
    },
  ]

  static let meaning: [Case] = [
    Case("no architecture", says: "general.architecture") { $0.values.removeFirst() },
    Case("another architecture", says: "\"unheardof\"") {
      $0.set("general.architecture", 8, GGUFBytes.text("unheardof"))
    },
    Case("an importance matrix", says: "general.type") { $0.add("general.type", "imatrix") },
    Case("layers as text", says: "block_count") {
      $0.set("minimax-m2.block_count", 8, GGUFBytes.text("1"))
    },
    Case("a layer too many stated", says: "layers.1.") { $0.set("minimax-m2.block_count", 4, [2, 0, 0, 0]) },
    Case("layers of 2^32 - 1", says: "block_count") {
      $0.set("minimax-m2.block_count", 4, [255, 255, 255, 255])
    },
    Case("no heads", says: "head_count") { $0.set("minimax-m2.attention.head_count", 4, [0, 0, 0, 0]) },
    Case("softmax routing", says: "expert_gating_func") {
      $0.set("minimax-m2.expert_gating_func", 4, [1, 0, 0, 0])
    },
    Case("no routing function", says: "expert_gating_func") { file in
      file.values.removeAll { $0.key == "minimax-m2.expert_gating_func" }
    },
    Case("epsilon of NaN", says: "layer_norm_rms_epsilon") {
      $0.set("minimax-m2.attention.layer_norm_rms_epsilon", 6, [0, 0, 0xC0, 0x7F])
    },
    Case("rotary base of 0", says: "freq_base") { $0.set("minimax-m2.rope.freq_base", 6, [0, 0, 0, 0]) },
    Case("odd rotary dims", says: "rotary_dim") {
      $0.set("minimax-m2.rope.dimension_count", 4, [3, 0, 0, 0])
    },
    Case("more active experts than there are", says: "num_experts_per_tok") {
      $0.set("minimax-m2.expert_used_count", 4, [3, 0, 0, 0])
    },
    Case("shared experts", says: "expert_shared_count") {
      $0.add("minimax-m2.expert_shared_count", uint32: 1)
    },
    Case("sliding window", says: "sliding_window") {
      $0.add("minimax-m2.attention.sliding_window", uint32: 128)
    },
    Case("scaled rotation", says: "rope.scaling.type") { $0.add("minimax-m2.rope.scaling.type", "longrope") },
    Case("unknown tensor", says: "a name it does not know") {
      $0.tensors.append(.init(name: "rope_odd.weight", dims: [1], data: [0, 0, 0, 0]))
    },
    Case("layer 1 of 1", says: "layers below 1") {
      $0.tensors.append(
        .init(name: "blk.1.attn_norm.weight", dims: [4], data: .init(repeating: 0, count: 16)))
    },
    Case("no head", says: "lm_head.weight") { file in
      file.tensors.remove(at: index("output.weight", file))
    },
    Case("no embedding", says: "token_embd.weight") { $0.tensors.removeFirst() },
    Case("two experts in a file of three", says: "experts first") {
      $0.set("minimax-m2.expert_count", 4, [3, 0, 0, 0])
    },
    Case("stack of another shape", says: "experts first") { file in
      file.tensors[index("blk.0.ffn_up_exps.weight", file)].dims = [4, 2, 4]
    },
    Case("norm of another length", says: "shape") { file in
      file.tensors[index("output_norm.weight", file)].dims = [2, 2]
    },
    Case("a type nobody decodes", says: "type 99 ") { file in
      let place = index("output.weight", file)
      file.tensors[place].dims = [256, 1]
      file.tensors[place].type = 99
      file.tensors[place].data = [UInt8](repeating: 0, count: 50)
    },
    Case("tokens without kinds", says: "token_type") { file in
      file.set("tokenizer.ggml.model", 8, GGUFBytes.text("gpt2"))
      file.add("tokenizer.ggml.pre", "minimax-m2")
      file.add("tokenizer.ggml.tokens", 9, array(8, 1, GGUFBytes.text("a")))
    },
    Case("kind of token 9", says: "kinds from 1 to 6") { file in
      file.set("tokenizer.ggml.model", 8, GGUFBytes.text("gpt2"))
      file.add("tokenizer.ggml.pre", "minimax-m2")
      file.add("tokenizer.ggml.tokens", 9, array(8, 1, GGUFBytes.text("a")))
      file.add("tokenizer.ggml.token_type", 9, array(5, 1, [9, 0, 0, 0]))
    },
    Case("part of a split under another name", says: "a name that ends in") {
      $0.add("split.count", 2, [2, 0])
      $0.add("split.no", 2, [0, 0])
    },
    Case("part 5 of 2", says: "split.no") {
      $0.add("split.count", 2, [2, 0])
      $0.add("split.no", 2, [5, 0])
    },
  ]

  @Test func tinyFileIsGood() throws {
    let scratch = try Scratch()
    let model = try Model.read(try scratch.write("good.gguf", GGUFBytes.tiny().bytes))
    #expect(model.tensors.count == 19)
    #expect(model.blueprint.experts.count == 2)
    let up = try #require(model[.up, layer: 0, expert: 1])
    let values: [Float] = (16..<32).map { 14 + Float($0) / 64 }
    #expect(try up.floats() == values)
  }

  @Test(arguments: structure + meaning) func refused(_ item: Case) throws {
    let scratch = try Scratch()
    var file = GGUFBytes.tiny()
    item.change(&file)
    let path = try scratch.write("bad.gguf", file.bytes)
    let error = try #require(throws: FormatError.self) { try Model.read(path) }
    #expect(error.description.contains(item.says), "\(error)")
    #expect(error.path.hasPrefix(path))
    print("torture: 1 malformed: GGUF")
  }

  @Test func refusedWhenCutAnywhere() throws {
    let scratch = try Scratch()
    let bytes = GGUFBytes.tiny().bytes
    // The last tensor ends on the alignment: no byte of the file can be spared.
    for length in 0..<bytes.count {
      let path = try scratch.write("cut.gguf", Array(bytes[..<length]))
      #expect(throws: FormatError.self, "cut at \(length)") { try Model.read(path) }
    }
  }

  @Test(arguments: [UInt8(0x01), 0xFF]) func flippedBytesNeverStopTheProcess(_ mask: UInt8) throws {
    let scratch = try Scratch()
    let bytes = GGUFBytes.tiny().bytes
    var refused = 0
    for index in bytes.indices {
      var changed = bytes
      changed[index] ^= mask
      let path = try scratch.write("flipped.gguf", changed)
      do throws(FormatError) {
        for tensor in try Model.read(path).tensors { _ = try tensor.floats() }
      } catch {
        refused += 1
      }
    }
    #expect(refused > bytes.count / 4)
  }
}
