import IngotKernels
import IngotSystem
import Synchronization

/// A file of a repository that is read over the network.
///
/// Side files are kept whole. Of files of weights the header is kept, and short ranges come out of blocks that are fetched whole,
/// since scales and norms lie beside each other; long ranges are fetched as they are.
final class HubFile: RemoteFile {
  let source: HubSource
  private let client: HubClient
  private let blocks: HubBlocks
  private let isKept: Bool
  private let whole = Mutex<Bytes?>(nil)
  private let head = Mutex(Bytes.empty)
  /// Held while a block is fetched, so that it is fetched once.
  private let fetching = Mutex<Void>(())
  /// Git's name of the content.
  let blob: String

  static let blockLength = 1 << 20
  /// Ranges shorter than this come out of blocks.
  private static let shortLength = 1 << 18

  init(_ source: HubSource, blob: String, _ client: HubClient, _ blocks: HubBlocks) {
    (self.source, self.blob, self.client, self.blocks) = (source, blob, client, blocks)
    isKept = !HubFile.isWeights(source.path)
  }

  var path: String { source.path }
  var size: Int { source.size }
  var sha256: String? { source.sha256 }
  var identity: String { source.sha256.map { "sha256:" + $0 } ?? "git:" + blob }

  /// Whether a file of this name holds weights, of whatever format.
  static func isWeights(_ name: String) -> Bool {
    [
      ".safetensors", ".gguf", ".ingot", ".calib", ".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".onnx",
      ".onnx_data",
      ".ot", ".tflite", ".npz", ".zip", ".tar", ".gz",
    ].contains { name.hasSuffix($0) }
  }

  func content() throws(FormatError) -> Bytes? {
    guard isKept else { return nil }
    // Whoever comes second waits for the first.
    return try fetching.withLock { _ throws(FormatError) in
      if let known = whole.withLock({ $0 }) { return known }
      let bytes = try Bytes(count: size) { (span: inout MutableRawSpan) throws(FormatError) in
        try client.read(source, into: &span, at: 0)
      }
      if let stated = sha256 {
        var hash = SHA256()
        hash.update(bytes.span)
        let found = hash.hexDigest()
        guard found == stated else {
          throw FormatError(path: path, expected: "SHA-256 \(stated), which the Hub states", found: found)
        }
      }
      whole.withLock { $0 = bytes }
      return bytes
    }
  }

  func read(into span: inout MutableRawSpan, at offset: Int) throws(FormatError) {
    let end = offset + span.byteCount
    precondition(offset >= 0 && end <= size, "\(path): read past the end")
    if let known = whole.withLock({ $0 }) { return copy(known[offset..<end].span, into: &span, at: 0) }
    let head = head.withLock { $0 }
    if end <= head.count { return copy(head[offset..<end].span, into: &span, at: 0) }
    guard span.byteCount < HubFile.shortLength else {
      return try client.read(source, into: &span, at: offset)
    }
    var position = offset
    while position < end {
      let index = position / HubFile.blockLength
      let block = try self.block(index)
      let start = position - index * HubFile.blockLength
      let stop = min(end - index * HubFile.blockLength, block.count)
      copy(block[start..<stop].span, into: &span, at: position - offset)
      position += stop - start
    }
  }

  private func block(_ index: Int) throws(FormatError) -> Bytes {
    if let known = blocks[path, index] { return known }
    return try fetching.withLock { _ throws(FormatError) in
      if let known = blocks[path, index] { return known }
      let start = index * HubFile.blockLength
      let bytes = try fetch(start..<min(start + HubFile.blockLength, size))
      blocks[path, index] = bytes
      return bytes
    }
  }

  private func fetch(_ range: Range<Int>) throws(FormatError) -> Bytes {
    try Bytes(overwriting: range.count) { (span: inout MutableRawSpan) throws(FormatError) in
      try client.read(source, into: &span, at: range.lowerBound)
    }
  }

  /// Fetches the header of a SafeTensors file, of others nothing, in one request or two.
  func fetchHead() throws(FormatError) {
    guard path.hasSuffix(".safetensors"), head.withLock({ $0.isEmpty }), size > 0 else { return }
    let first = try fetch(0..<min(size, 1 << 16))
    var all = first
    if first.count >= 8 {
      let stated = first.span.littleEndian(UInt64.self, at: 0)
      // What is too long is for the reader to refuse.
      if stated <= 100_000_000, case let length = 8 + Int(stated), length > first.count, length <= size {
        all = try Bytes(count: length) { (span: inout MutableRawSpan) throws(FormatError) in
          copy(first.span, into: &span, at: 0)
          var rest = span._mutatingExtracting(first.count..<length)
          try client.read(source, into: &rest, at: first.count)
        }
      }
    }
    head.withLock { $0 = all }
  }
}

extension Bytes {
  fileprivate var isEmpty: Bool { count == 0 }
}

/// The blocks of all files that were used last.
final class HubBlocks: Sendable {
  private struct State {
    var blocks: [String: [Int: (bytes: Bytes, use: Int)]] = [:]
    var count = 0
    var clock = 0
  }
  private let state = Mutex(State())
  private static let limit = 64

  subscript(path: String, index: Int) -> Bytes? {
    get {
      state.withLock { state in
        state.clock += 1
        state.blocks[path]?[index]?.use = state.clock
        return state.blocks[path]?[index]?.bytes
      }
    }
    set {
      state.withLock { state in
        state.clock += 1
        if state.blocks[path]?[index] == nil { state.count += 1 }
        state.blocks[path, default: [:]][index] = newValue.map { ($0, state.clock) }
        guard state.count > HubBlocks.limit else { return }
        let oldest = state.blocks.flatMap { path, blocks in blocks.map { (path, $0.key, $0.value.use) } }
          .min { $0.2 < $1.2 }
        if let (path, index, _) = oldest {
          state.blocks[path]?[index] = nil
          state.count -= 1
        }
      }
    }
  }
}
