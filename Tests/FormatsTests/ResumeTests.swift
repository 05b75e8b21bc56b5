import Foundation
import IngotFormats
import IngotKernels
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors
import Synchronization
import Testing

/// A run that was stopped is continued to the bytes of one that was not, by the same run only.
@Suite struct ResumeTests {
  /// Options of a run that stops when `units` pieces have been written.
  private func stopping(_ options: WriteOptions, after units: Int) -> WriteOptions {
    let count = Counter()
    var options = options
    options.progress = { _ in count.value.add(1, ordering: .relaxed) }
    options.shouldStop = { count.value.load(ordering: .relaxed) >= units }
    return options
  }

  private final class Counter: Sendable { let value = Atomic<Int>(0) }

  private static let targets: [(recipe: String?, format: String, split: Int?)] = [
    ("int4", "ingot", nil), ("int4", "ingot", 1_000_000), ("q4_k_m", "gguf", nil),
    ("q4_k_m", "gguf", 1_000_000), ("mlx-4bit", "mlx", nil), (nil, "safetensors", nil),
    (nil, "safetensors", 1_000_000), (nil, "ingot", nil),
  ]

  private func model(_ recipe: String?) throws -> Model {
    let source = try Model.read(nano)
    return try recipe.map { try source.quantized($0) } ?? source.checkedForFinite()
  }

  /// Names and contents of what stands in a folder, the output's name replaced.
  private func contents(_ scratch: Scratch, _ prefix: String) throws -> [String: [UInt8]] {
    var all: [String: [UInt8]] = [:]
    for name in try scratch.names where name.hasPrefix(prefix) {
      let short = String(name.dropFirst(prefix.count))
      if Folder.kind(scratch(name)) == .folder {
        for file in try Folder.names(scratch(name)) {
          all[short + "/" + file] = try content(scratch(name) + "/" + file)
        }
      } else {
        all[short] = try content(scratch(name))
      }
    }
    return all
  }

  @Test(arguments: targets.indices)
  func continuedToTheSameBytes(_ index: Int) async throws {
    let (recipe, name, split) = Self.targets[index]
    let scratch = try Scratch()
    let format = try #require(Format.named(name))
    _ = try await model(recipe).write(scratch("whole"), as: format, .with(workers: 3, split: split))
    let wanted = try contents(scratch, "whole")
    for (round, units) in [1, 20, 55, 90].enumerated() {
      let options = WriteOptions.with(workers: 1 + round % 2, split: split)
      let error = try await awaitedRefusal {
        _ = try await model(recipe).write(scratch("again"), as: format, stopping(options, after: units))
      }
      let found = try #require(error, "stopped after \(units)")
      #expect(found.cause == .stopped && found.isResumable, "\(found)")
      #expect(try scratch.names.contains("again.partial.journal"))
      #expect(try !scratch.names.contains("again"), "nothing appears under its name")
    }
    // What is filled already is not done again.
    let count = Counter()
    var last = WriteOptions.with(workers: 4, split: split)
    last.shouldStop = {
      count.value.add(1, ordering: .relaxed)
      return false
    }
    _ = try await model(recipe).write(scratch("again"), as: format, last)
    #expect(count.value.load(ordering: .relaxed) < 100, "most tensors were there")
    #expect(try contents(scratch, "again") == wanted)
    #expect(try scratch.names.allSatisfy { !$0.contains("partial") && !$0.contains("replaced") })
  }

  @Test func anotherRunIsRefusedByWhatDiffers() async throws {
    let scratch = try Scratch()
    let folder = try scratch.copy(nano, to: "source")
    func write(_ recipe: String, _ options: WriteOptions) async throws -> FormatError? {
      let model = try Model.read(folder).quantized(recipe)
      var options = options
      options.provenance["recipe"] = .string(recipe)
      return try await awaitedRefusal {
        _ = try await model.write(scratch("out.ingot"), as: .ingot, options)
      }
    }
    #expect(try #require(await write("int4", stopping(.with(), after: 10))).isResumable)
    let before = try scratch.names
    let refused = try #require(await write("int8", .with()))
    #expect(refused.expected.contains("\"int4\"") && refused.found == "\"int8\"", "\(refused)")
    #expect(!refused.isResumable)
    var other = WriteOptions.with()
    other.identity["allow-nonfinite"] = true
    let option = try #require(await write("int4", other))
    #expect(option.expected.contains("options.allow-nonfinite null") && option.found == "true", "\(option)")
    let split = try #require(await write("int4", .with(split: 1_000_000)))
    #expect(split.expected.hasPrefix("split size null") && split.found == "1000000", "\(split)")
    // A file of the source that was touched.
    let shard = folder + "/model-00002-of-00004.safetensors"
    try FileManager.default.setAttributes(
      [.modificationDate: Date(timeIntervalSince1970: 1e9)], ofItemAtPath: shard)
    let touched = try #require(await write("int4", .with()))
    #expect(touched.expected.contains("source.files[1].modified"), "\(touched)")
    #expect(touched.found == "1000000000000000000", "\(touched)")
    #expect(try scratch.names == before, "nothing was touched")
    #expect(try await write("int8", .with(force: true)) == nil)
    #expect(try scratch.names == ["out.ingot", "source"])
    #expect(await Format.check(scratch("out.ingot"), workers: 2).problems.isEmpty)
  }

  @Test func aJournalThatEndsInTheMiddleIsReadToThere() async throws {
    let scratch = try Scratch()
    let model = try model("int4")
    _ = try await model.write(scratch("whole.ingot"), as: .ingot, .with())
    for cut in [200, 3000, 5000, 9000] {
      _ = try await awaitedRefusal {
        _ = try await model.write(scratch("out.ingot"), as: .ingot, stopping(.with(), after: 60))
      }
      let journal = scratch("out.ingot.partial.journal")
      var bytes = try content(journal)
      // Cut, and something else behind it.
      let place = min(cut, bytes.count - 10)
      bytes.replaceSubrange(place..<place + 7, with: [0x31, 0x0A, 0, 0xFF, 0x0A, 0x7B, 0x0A])
      try scratch.write("out.ingot.partial.journal", bytes)
      let error = try await awaitedRefusal {
        _ = try await model.write(scratch("out.ingot"), as: .ingot, .with())
      }
      if cut == 200 {
        #expect(try #require(error).remedy == .discard, "no first line")
        _ = try await model.write(scratch("out.ingot"), as: .ingot, .with(force: true))
      } else {
        #expect(error == nil)
      }
      #expect(try content(scratch("out.ingot")) == content(scratch("whole.ingot")))
      Folder.remove(scratch("out.ingot"))
    }
  }

  @Test func anOutputWhoseFileHasGoneIsBegunAnew() async throws {
    let scratch = try Scratch()
    let model = try model("int4")
    _ = try await model.write(scratch("whole.ingot"), as: .ingot, .with())
    _ = try await awaitedRefusal {
      _ = try await model.write(scratch("out.ingot"), as: .ingot, stopping(.with(), after: 60))
    }
    Folder.remove(scratch("out.ingot.partial"))
    _ = try await model.write(scratch("out.ingot"), as: .ingot, .with())
    #expect(try content(scratch("out.ingot")) == content(scratch("whole.ingot")))
    #expect(try scratch.names == ["out.ingot", "whole.ingot"])
  }

  /// A name left by a run that died is no obstacle; one of a run that lives, or on another host, is.
  @Test func oneRunAtATimeOwnsAnOutput() async throws {
    let scratch = try Scratch()
    let model = try model("int4")
    let name = scratch("out.ingot.partial.owner.3")
    func write(_ options: WriteOptions) async throws -> FormatError? {
      try await awaitedRefusal { _ = try await model.write(scratch("out.ingot"), as: .ingot, options) }
    }
    func own(_ text: String) throws {
      Folder.remove(name)
      Folder.remove(scratch("out.ingot"))
      try FileManager.default.createSymbolicLink(atPath: name, withDestinationPath: text)
    }
    let me = "\(Owner.Identity.current)"
    let parts = me.split(separator: " ").map(String.init)
    try own(me)
    #expect(try #require(await write(.with())).found == "process \(getpid()) on \(parts[0])")
    #expect(try scratch.names == ["out.ingot.partial.owner.3"])
    // The same number, begun at another time; and a number that no process has.
    for dead in ["\(parts[0]) \(parts[1]) \(parts[2]) 17", "\(parts[0]) \(parts[1]) 4194304 17"] {
      try own(dead)
      #expect(try await write(.with()) == nil)
      #expect(try scratch.names == ["out.ingot"])
    }
    // The host was started anew since.
    try own("\(parts[0]) earlier \(parts[2]) \(parts[3])")
    #expect(try await write(.with()) == nil)
    // Another host, or another container of this one.
    let space = String(parts[1].split(separator: "/")[0]) + "/pid:[1]"
    for foreign in ["elsewhere \(parts[1]) 1 1", "\(parts[0]) \(space) 1 1", "garbage"] {
      try own(foreign)
      let refused = try #require(await write(.with()))
      #expect(refused.expected == "no other run that writes this output", "\(refused)")
    }
    try own("elsewhere \(parts[1]) 1 1")
    var options = WriteOptions.with()
    options.takeOver = true
    #expect(try await write(options) == nil)
    #expect(try scratch.names == ["out.ingot"])
  }

  @Test func ofManyRunsAtOnceOneWrites() async throws {
    let scratch = try Scratch()
    let model = try model("int4")
    let path = scratch("out.ingot")
    let outcomes = await withTaskGroup(of: Bool.self) { group in
      for _ in 0..<8 {
        group.addTask { (try? await model.write(path, as: .ingot, .with())) != nil }
      }
      return await group.reduce(into: []) { $0.append($1) }
    }
    #expect(outcomes.filter { $0 }.count == 1)
    #expect(await Format.check(path, workers: 2).problems.isEmpty)
    #expect(try scratch.names == ["out.ingot"])
  }

  @Test func verifySourceNamesTheFileThatRotted() async throws {
    let scratch = try Scratch()
    let blobs = scratch("models--a--b/blobs")
    let snapshot = scratch("models--a--b/snapshots/0")
    for folder in [blobs, snapshot] {
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    }
    var blob = ""
    for name in try Folder.names(nano) where Folder.kind(nano + "/" + name) == .file {
      let bytes = try Bytes.mapping(nano + "/" + name)
      var hash = SHA256(using: .scalar)
      hash.update(bytes.span)
      let digest = name.hasPrefix("model-") ? hash.hexDigest() : name
      if name.hasPrefix("model-00003") { blob = "models--a--b/blobs/" + digest }
      try FileManager.default.copyItem(atPath: nano + "/" + name, toPath: blobs + "/" + digest)
      try FileManager.default.createSymbolicLink(
        atPath: snapshot + "/" + name, withDestinationPath: "../../blobs/" + digest)
    }
    var options = WriteOptions.with()
    options.verifiesSource = true
    let model = try Model.read(snapshot).quantized("int4")
    _ = try await model.write(scratch("good.ingot"), as: .ingot, options)
    _ = try await Model.read(snapshot).quantized("mlx-4bit").write(scratch("good"), as: .mlx, options)
    // One bit of a tensor.
    var bytes = try content(scratch(blob))
    bytes[bytes.count - 20_000] ^= 1
    try scratch.write(blob, bytes)
    let rotten = try Model.read(snapshot).quantized("int4")
    let error = try #require(
      await awaitedRefusal { _ = try await rotten.write(scratch("bad.ingot"), as: .ingot, options) })
    #expect(error.path.hasSuffix("model-00003-of-00004.safetensors"), "\(error)")
    #expect(error.expected.hasPrefix("SHA-256 \(Folder.name(of: blob))"), "\(error)")
    #expect(try !scratch.names.contains { $0.hasPrefix("bad") })
    let plain = try Model.read(nano)
    let refused = try #require(
      await awaitedRefusal { _ = try await plain.write(scratch("x.ingot"), as: .ingot, options) })
    #expect(refused.expected.contains("whose name is its SHA-256"), "\(refused)")
  }

  /// Checksums that fit values which are not finite: the check finds these in every format.
  @Test(arguments: ["ingot", "safetensors"]) func checkFindsWhatIsNotFinite(_ name: String) async throws {
    let scratch = try Scratch()
    let model = try Model.read(nano).mapTensors { tensor in
      guard tensor.role == Role(.finalNorm) else { return tensor }
      return Tensor(
        name: tensor.name, role: tensor.role, shape: tensor.shape, encoding: tensor.encoding,
        path: tensor.path,
        planes: [
          Bytes(count: tensor.bytes) { $0.storeBytes(of: UInt16(0x7F80), toByteOffset: 6, as: UInt16.self) }
        ])
    }
    let path = scratch("out." + name)
    _ = try await model.write(path, as: try #require(Format.named(name)), .with())
    let problems = await Format.check(path, workers: 2).problems
    #expect(problems.map(\.tensor) == ["model.norm.weight"])
    #expect(problems.first?.what == "expected finite values, found inf at element [0, 3]")
  }
}
