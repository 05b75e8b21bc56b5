import Foundation
import IngotFormats
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors
import Testing

/// An output appears when it is complete, replaces nothing unasked, and a run that fails leaves nothing behind.
@Suite struct OutputTests {
  /// A copy of the embedded model in which the first value of a tensor has these bytes.
  private func checkpoint(_ scratch: Scratch, _ tensor: String, _ value: [UInt8]) throws -> String {
    let folder = try scratch.copy(nano, to: "source")
    for name in try Folder.names(folder) where name.hasPrefix("model-") {
      let path = folder + "/" + name
      let bytes = try Bytes.mapping(path)
      guard let entry = try SafeTensorsHeader(path: path).entries.first(where: { $0.name == tensor }) else {
        continue
      }
      var patched = bytes.array
      patched.replaceSubrange(entry.range.lowerBound..<entry.range.lowerBound + value.count, with: value)
      try scratch.write("source/" + name, patched)
      return folder
    }
    Issue.record("no tensor \(tensor)")
    return folder
  }

  private static let poisons: [(tensor: String, value: [UInt8])] = [
    // F8_E4M3 NaN; F32 scale NaN, infinite; BF16 NaN, infinite; F32 NaN.
    ("model.layers.2.block_sparse_moe.experts.5.w2.weight", [0x7F]),
    ("model.layers.0.self_attn.q_proj.weight_scale_inv", [0, 0, 0xC0, 0x7F]),
    ("model.layers.3.block_sparse_moe.experts.7.w3.weight_scale_inv", [0, 0, 0x80, 0xFF]),
    ("model.embed_tokens.weight", [0xC0, 0x7F]),
    ("lm_head.weight", [0x80, 0x7F]),
    ("model.layers.1.block_sparse_moe.gate.weight", [0, 0, 0xC0, 0xFF]),
    ("model.norm.weight", [0xC0, 0x7F]),
  ]

  @Test(arguments: poisons.indices)
  func sourceWithNaNLeavesNothing(_ index: Int) async throws {
    let (tensor, value) = Self.poisons[index]
    let scratch = try Scratch()
    let model = try Model.read(try checkpoint(scratch, tensor, value)).quantized("int4")
    for options in [WriteOptions.with(), .with(split: 1_000_000)] {
      let error = try await awaitedRefusal {
        _ = try await model.write(scratch("out.ingot"), as: .ingot, options)
      }
      let found = try #require(error, "\(tensor) was written")
      let name = tensor.replacingOccurrences(of: "_scale_inv", with: "")
      #expect(found.tensor == name && found.expected.hasPrefix("finite values"), "\(found)")
      #expect(found.path.hasPrefix(scratch("source")), "\(found)")
      #expect(try scratch.names == ["source"])
    }
    let dense = try await awaitedRefusal {
      _ = try await model.decoded(to: .bf16).write(scratch("folder"), as: .safeTensors, .with())
    }
    #expect(dense != nil)
    #expect(try scratch.names == ["source"])
  }

  /// Every recipe, so every format and encoding that is written; nil is what `convert` does without one.
  /// llama.cpp's mixes of IQ1 to IQ3 differ in their types alone: one stands for them. The search of codes in tiles takes minutes
  /// for a model where it is not optimized: EXL3Tests has that of a tensor.
  private static let exporters: [String?] =
    Recipe.builtIn.filter { $0.format != "exl3" }.map(\.name)
    .filter { !$0.hasPrefix("iq") || ["iq4_xs", "iq2_m"].contains($0) } + [nil]

  @Test(arguments: exporters)
  func oneNaNOfOneExpertStopsEveryExporter(_ recipe: String?) async throws {
    let (tensor, value) = Self.poisons[0]
    let scratch = try Scratch()
    let source = try Model.read(try checkpoint(scratch, tensor, value))
    let name = try recipe.map { try Recipe.named($0).format ?? "ingot" } ?? "safetensors"
    let format = try #require(Format.named(name))
    let model = try recipe.map { try source.quantized($0) } ?? (try source.checkedForFinite())
    let error = try await awaitedRefusal {
      _ = try await model.write(scratch("out"), as: format, .with())
    }
    let found = try #require(error, "\(recipe ?? "convert") wrote it")
    #expect(found.tensor == tensor && found.expected.hasPrefix("finite values"), "\(found)")
    #expect(try scratch.names == ["source"])
    guard let recipe else { return }
    var allowed = QuantizationOptions()
    allowed.allowNonfinite = true
    let written = try await source.quantized(by: try Recipe.named(recipe).plan(for: source), allowed)
      .write(scratch("out"), as: format, .with())
    #expect(written.bytes > 0)
  }

  @Test func existingOutputIsUnharmed() async throws {
    let scratch = try Scratch()
    let model = try Model.read(nano).quantized("int3")
    try scratch.write("out.ingot", Array("mine".utf8))
    let error = try await awaitedRefusal {
      _ = try await model.write(scratch("out.ingot"), as: .ingot, .with())
    }
    #expect(try #require(error).remedy == .replace)
    #expect(try content(scratch("out.ingot")) == Array("mine".utf8))
    #expect(try scratch.names == ["out.ingot"])
    _ = try await model.write(scratch("out.ingot"), as: .ingot, .with(force: true))
    #expect(try Model.read(scratch("out.ingot")).tensors.count == model.tensors.count)
    #expect(try scratch.names == ["out.ingot"])
  }

  @Test func aFailedRunWithForceLeavesTheOldFile() async throws {
    let scratch = try Scratch()
    let folder = try checkpoint(scratch, "lm_head.weight", [0xC0, 0x7F])
    try scratch.write("out.ingot", Array("mine".utf8))
    let error = try await awaitedRefusal {
      _ = try await Model.read(folder).quantized("int3").write(
        scratch("out.ingot"), as: .ingot, .with(force: true))
    }
    #expect(error != nil)
    #expect(try content(scratch("out.ingot")) == Array("mine".utf8))
    #expect(try scratch.names == ["out.ingot", "source"])
  }

  @Test func anyPartThatIsThereIsUnharmed() async throws {
    let scratch = try Scratch()
    let model = try Model.read(nano).quantized("int3")
    let count = try await model.write(scratch("first.ingot"), as: .ingot, .with(split: 1_000_000)).files.count
    let name = "out-00003-of-0000\(count).ingot"
    try scratch.write(name, Array("mine".utf8))
    let before = try scratch.names
    let error = try await awaitedRefusal {
      _ = try await model.write(scratch("out.ingot"), as: .ingot, .with(split: 1_000_000))
    }
    #expect(try #require(error).path == scratch(name))
    #expect(try content(scratch(name)) == Array("mine".utf8))
    #expect(try scratch.names == before)
  }

  @Test func anUnfinishedOutputIsRefused() async throws {
    let scratch = try Scratch()
    let model = try Model.read(nano).quantized("int3")
    try scratch.write("out.ingot.partial", [1, 2, 3])
    let error = try await awaitedRefusal {
      _ = try await model.write(scratch("out.ingot"), as: .ingot, .with())
    }
    #expect(try #require(error).path == scratch("out.ingot.partial"))
    #expect(try content(scratch("out.ingot.partial")) == [1, 2, 3])
    #expect(try scratch.names == ["out.ingot.partial"])
    _ = try await model.write(scratch("out.ingot"), as: .ingot, .with(force: true))
    #expect(try scratch.names == ["out.ingot"])
  }

  @Test func theSourceIsNotReplacedByItsSuccessor() async throws {
    let scratch = try Scratch()
    let path = scratch("nano.ingot")
    _ = try await Model.read(nano).write(path, as: .ingot, .with())
    let error = try await awaitedRefusal {
      _ = try await Model.read(path).quantized("int4").write(path, as: .ingot, .with(force: true))
    }
    #expect(error?.found.contains("which is being read") == true)
    #expect(await Format.check(path, workers: 2).problems.isEmpty)
    #expect(try scratch.names == ["nano.ingot"])
  }

  @Test func foldersThatAreNoCheckpointStay() async throws {
    let scratch = try Scratch()
    let model = try Model.read(nano)
    try FileManager.default.createDirectory(atPath: scratch("out"), withIntermediateDirectories: true)
    try scratch.write("out/thesis.txt", Array("years of work".utf8))
    for format in [Format.safeTensors, .ingot] {
      let error = try await awaitedRefusal {
        _ = try await model.write(scratch("out"), as: format, .with(force: true))
      }
      #expect(error != nil, "\(format.name)")
      #expect(try Folder.names(scratch("out")) == ["thesis.txt"])
      #expect(try scratch.names == ["out"])
    }
  }

  @Test func placesThatCannotBeWrittenAreErrors() async throws {
    let scratch = try Scratch()
    let model = try Model.read(nano).quantized("int3")
    try scratch.write("file", [0])
    for path in [
      scratch("missing/out.ingot"), scratch("file/out.ingot"), "/dev/null/out.ingot", "/proc/out.ingot",
    ] {
      for format in [Format.ingot, .safeTensors] {
        let writable = format.name == "ingot" ? model : try model.decoded(to: .bf16)
        let error = try await awaitedRefusal { _ = try await writable.write(path, as: format, .with()) }
        #expect(error != nil, "\(path) as \(format.name)")
      }
    }
    #expect(try scratch.names == ["file"])
  }

  /// A folder without the right to write. The superuser has it everywhere.
  @Test(.enabled(if: getuid() != 0, "run as another user than root"))
  func aReadOnlyFolderIsAnError() async throws {
    let scratch = try Scratch()
    let model = try Model.read(nano).quantized("int3")
    try FileManager.default.createDirectory(
      atPath: scratch("locked"), withIntermediateDirectories: true, attributes: [.posixPermissions: 0o555])
    let error = try await awaitedRefusal {
      _ = try await model.write(scratch("locked/out.ingot"), as: .ingot, .with())
    }
    #expect(error != nil)
    #expect(try Folder.names(scratch("locked")) == [])
  }

  /// A model larger than any disk: refused before a weight is asked for.
  @Test func aFullDiskIsFoundBeforehand() async throws {
    let scratch = try Scratch()
    let model = try Model.read(nano)
    let huge = Model.huge(model)
    for format in [Format.ingot, .safeTensors] {
      let planned = try huge.plannedBytes(as: format, .with(hash: false))
      #expect(planned > 1 << 50)
      let error = try await awaitedRefusal {
        _ = try await huge.write(scratch("out"), as: format, .with(hash: false))
      }
      #expect(try #require(error).expected == "\(planned) bytes free on its disk", "\(format.name)")
      #expect(try scratch.names == [])
    }
  }
}

extension Model {
  /// A model of the same family with an unknown tensor of 2^52 bytes that nobody can load.
  fileprivate static func huge(_ model: Model) -> Model {
    let name = "model.layers.0.huge"
    let tensor = Tensor(
      name: name, role: Role(.unknown, name: name), shape: [1 << 26, 1 << 26], encoding: .dense(.u8),
      path: model.path
    ) { _ in preconditionFailure("a weight was asked for") }
    do {
      return try Model(
        family: model.family, blueprint: model.blueprint,
        tensors: model.tensors + [tensor],
        sideFiles: model.sideFiles, path: model.path, format: model.format, weightFiles: model.weightFiles)
    } catch {
      preconditionFailure("\(error)")
    }
  }
}
