import Foundation
import IngotFormats
import IngotModels
import IngotSystem
import IngotTensors
import Testing

/// llama.cpp's importance matrices, read and written.
@Suite struct ImportanceTests {
  private func nano() throws -> Model { try Model.read(Fixture.nano) }

  /// Means that tell every role and column apart, exact in F32 when multiplied by a few tokens; expert 3 of layer 1 saw
  /// nothing.
  private func importance(_ model: Model) -> Importance {
    var importance = Importance()
    for (number, tensor) in model.tensors.enumerated() {
      let part = tensor.role.kind
      guard tensor.shape.count == 2, part != .embedding, part != .head else { continue }
      if tensor.role.layer == 1 && tensor.role.expert == 3 { continue }
      importance.columns[tensor.role] = (0..<tensor.columns).map { Float(number) + Float($0) / 256 }
      importance.tokens[tensor.role] = 512 + number % 7
    }
    return importance
  }

  @Test(arguments: ImportanceFile.Form.allCases)
  func comesBack(_ form: ImportanceFile.Form) throws {
    let scratch = try Scratch()
    let model = try nano()
    let written = ImportanceFile(importance(model), datasets: ["a.txt", "b.txt"], chunks: 9, chunkSize: 64)
    try written.write(scratch.path + "/imatrix", for: model, as: form)
    let read = try ImportanceFile(scratch.path + "/imatrix", for: model)
    #expect(Set(read.importance.columns.keys) == Set(written.importance.columns.keys))
    #expect(read.chunks == 9 && read.datasets == (form == .gguf ? ["a.txt", "b.txt"] : ["b.txt"]))
    #expect(read.entries == 4 * 8 && read.ignored.isEmpty)
    let silent: [TensorKind] = [.gate, .up, .down]
    #expect(Set(read.unseen) == Set(silent.map { Role($0, layer: 1, expert: 3) }))
    for (role, means) in written.importance.columns {
      let others = try #require(read.importance.columns[role])
      // A product and a quotient, each rounded once.
      for (mean, other) in zip(means, others) { #expect(abs(mean - other) <= mean * 3e-7, "\(role)") }
      if form == .gguf { #expect(read.importance.tokens[role] == written.importance.tokens[role]) }
    }
    #expect(read.sha256.count == 64)
    #expect(throws: FormatError.self) {
      try written.write(scratch.path + "/imatrix", for: model, as: form)
    }
  }

  /// Gated DeltaNets: what goes into fused projections is said once for each of a file's tensors, outputs in the order of the
  /// file's value heads.
  @Test(arguments: ["qwen3_next-even", "qwen3_5-even", "minimax-even"])
  func formsHaveEntries(_ name: String) throws {
    let scratch = try Scratch()
    let model = try Model.read(repository + "/Tests/Fixtures/families/" + name)
    var importance = Importance()
    for (number, tensor) in model.tensors.enumerated() where model.blueprint.isLinear(tensor.role) {
      guard let layer = tensor.role.layer, tensor.role.expert == nil else { continue }
      // Projections of one input have its means.
      let isOutput = [.deltaOutput, .lightningOutput, .attentionOutput, .down].contains(tensor.role.kind)
      let base = Float(isOutput ? number : 100 * layer)
      importance.columns[tensor.role] = (0..<tensor.columns).map { base + Float($0) / 256 }
      importance.tokens[tensor.role] = 512
    }
    let written = ImportanceFile(importance)
    try written.write(scratch.path + "/imatrix", for: model)
    let read = try ImportanceFile(scratch.path + "/imatrix", for: model)
    #expect(read.ignored.isEmpty)
    #expect(read.importance.columns == importance.columns)
    let content = GGUFContent(try contents(scratch.path + "/imatrix"))
    #expect(content.tensors["blk.0.attn_qkv.weight.in_sum2"] != nil)
    #expect(content.tensors["blk.0.attn_gate.weight.in_sum2"] != nil)
    guard name == "qwen3_5-even", let block = model.blueprint.layers[0].mixer as? GatedDeltaNet else {
      return
    }
    let data = try #require(content.tensors["blk.0.ssm_out.weight.in_sum2"]).data
    let stored = (0..<block.valueWidth).map { index in
      Float(bitPattern: (0..<4).reduce(0) { $0 | UInt32(data[4 * index + $1]) << (8 * $1) }) / 512
    }
    let own = try #require(importance.columns[Role(.deltaOutput, layer: 0)])
    let sharing = block.valueHeads / block.keyHeads
    #expect(sharing > 1)
    // Value head j of the file belongs to key head j mod keyHeads.
    for head in 0..<block.valueHeads {
      let source = head % block.keyHeads * sharing + head / block.keyHeads
      for column in 0..<block.valueDim {
        #expect(stored[head * block.valueDim + column] == own[source * block.valueDim + column])
      }
    }
  }

  /// The bytes that llama.cpp's legacy form has, by hand.
  private func legacy(_ name: String, calls: Int32, _ values: [Float]) -> [UInt8] {
    func text(_ text: String) -> [UInt8] { GGUFBytes.little(Int32(text.utf8.count)) + Array(text.utf8) }
    var bytes = GGUFBytes.little(Int32(1)) + text(name) + GGUFBytes.little(calls)
    bytes += GGUFBytes.little(Int32(values.count))
    for value in values { bytes += GGUFBytes.little(value.bitPattern) }
    return bytes + GGUFBytes.little(Int32(3)) + text("wiki.txt")
  }

  @Test func legacyByHand() throws {
    let scratch = try Scratch()
    let values = (0..<256).map { Float($0) * 5 }
    let path = try scratch.write("imatrix.dat", legacy("blk.2.attn_q.weight", calls: 5, values))
    let file = try ImportanceFile(path, for: nano())
    #expect(file.importance.columns == [Role(.query, layer: 2): (0..<256).map { Float($0) }])
    #expect(file.chunks == 3 && file.datasets == ["wiki.txt"])
  }

  /// The GGUF form as llama-imatrix lays it out, by hand.
  private func gguf(_ name: String, sums: [Float], rows: Int, counts: [Float]) -> GGUFBytes {
    var file = GGUFBytes()
    file.add("general.type", "imatrix")
    file.add(
      "imatrix.datasets", 9, GGUFBytes.little(UInt32(8)) + GGUFBytes.little(UInt64(1)) + GGUFBytes.text("w"))
    file.add("imatrix.chunk_count", uint32: 2)
    file.add("imatrix.chunk_size", uint32: 512)
    file.tensors = [
      .init(
        name: name + ".in_sum2", dims: [UInt64(sums.count / rows), UInt64(rows)],
        data: sums.flatMap { GGUFBytes.little($0.bitPattern) }),
      .init(
        name: name + ".counts", dims: [1, UInt64(counts.count)],
        data: counts.flatMap { GGUFBytes.little($0.bitPattern) }),
    ]
    return file
  }

  @Test func ggufByHand() throws {
    let scratch = try Scratch()
    let counts: [Float] = [4, 0, 1, 2, 8, 16, 32, 64]
    let sums: [Float] = (0..<2048).map { (index: Int) -> Float in Float(index / 256 * 3 + index % 256) }
    let bytes = gguf("blk.3.ffn_down_exps.weight", sums: sums, rows: 8, counts: counts).bytes
    let file = try ImportanceFile(try scratch.write("imatrix.gguf", bytes), for: nano())
    #expect(file.unseen == [Role(.down, layer: 3, expert: 1)])
    #expect(file.importance.columns.count == 7)
    for expert in [0, 2, 3, 4, 5, 6, 7] {
      let role = Role(.down, layer: 3, expert: expert)
      #expect(file.importance.tokens[role] == Int(counts[expert]))
      let count = counts[expert]
      let base = Float(expert * 3)
      let means: [Float] = (0..<256).map { (column: Int) -> Float in (base + Float(column)) / count }
      #expect(file.importance.columns[role] == means)
    }
    #expect(file.chunks == 2 && file.chunkSize == 512 && file.datasets == ["w"])
  }

  @Test func refusesWhatIsNoImportance() throws {
    let scratch = try Scratch()
    let model = try nano()
    let ones = [Float](repeating: 1, count: 256)
    func refused(_ bytes: [UInt8], _ says: String, sourceLocation: SourceLocation = #_sourceLocation) throws {
      let path = try scratch.write("imatrix", bytes)
      let error = #expect(throws: FormatError.self, sourceLocation: sourceLocation) {
        try ImportanceFile(path, for: model)
      }
      #expect(error?.description.contains(says) == true, "\(error!)", sourceLocation: sourceLocation)
    }
    let name = "blk.0.attn_q.weight"
    try refused([], "the number of entries")
    try refused(legacy(name, calls: 1, Array(ones.dropLast())), "256 values for each of 1")
    try refused(legacy(name, calls: 1, ones.dropLast() + [.nan]), "finite and not negative")
    try refused(legacy(name, calls: 1, ones.dropLast() + [-1]), "finite and not negative")
    try refused(legacy("blk.9.attn_q.weight", calls: 1, ones), "importance matrix is of another model")
    try refused(legacy("blk.0.ssm_in.weight", calls: 1, ones), "importance matrix of this model")
    try refused(legacy(name, calls: 1, ones) + [0], "the end of the file")
    let whole = legacy(name, calls: 1, ones)
    for length in stride(from: 1, to: whole.count, by: 7) where length != whole.count - 16 {
      try refused(Array(whole[..<length]), "expected")
    }
    try refused(gguf(name, sums: ones, rows: 1, counts: [-1]).bytes, "counts of tokens")
    try refused(gguf(name, sums: ones, rows: 1, counts: [1, 1, 1]).bytes, "counts of tokens")
    try refused(gguf(name, sums: ones, rows: 2, counts: [1, 1]).bytes, "a count of tokens for each of 1")
    var file = gguf(name, sums: ones, rows: 1, counts: [1])
    file.tensors.removeLast()
    try refused(file.bytes, "counts beside the sums")
    file = gguf(name, sums: ones, rows: 1, counts: [1])
    file.tensors.removeFirst()
    try refused(file.bytes, "sums beside the counts")
    file.set("general.type", 8, GGUFBytes.text("model"))
    try refused(file.bytes, "general.type")
  }
}
