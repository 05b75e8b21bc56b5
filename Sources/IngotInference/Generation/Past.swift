import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

/// How keys and values of earlier tokens are held.
public enum CacheType: String, CaseIterable, Sendable {
  case f32, f16
  /// 8 bits and an F32 scale for every head: value = scale · code.
  case q8
}

/// What a layer's mixer keeps of a sequence's tokens so far, so that later ones need not take them through it again.
struct Past: Sendable {
  /// Tokens so far.
  var tokens = 0
  /// Keys and values as attention reads them, (tokens, keyValueHeads · headDim) each; of latent attention the latents and the
  /// rotated keys.
  var keys: CachedRows
  var values: CachedRows
  /// Keys of an indexer, normalized and rotated: (tokens, dim).
  var indexKeys: [Float] = []
  /// The last inputs of a convolution: (kernel − 1, channels).
  var convolution: [Float] = []
  /// The states of a recurrence, head after head.
  var states: [Float] = []

  init(_ type: CacheType) {
    keys = CachedRows(type)
    values = CachedRows(type)
  }

  /// Adds what attention reads of some more tokens, and forgets what no later query will see.
  ///
  /// - Parameters:
  ///   - count: values of each, at the beginning of `keys` and `values`.
  ///   - width: values of a token in each.
  mutating func add(
    _ keys: [Float], _ values: [Float], count: Int, width: Int, _ block: GroupedQueryAttention,
    _ shape: AttentionShape, _ tokens: Int
  ) {
    self.keys.append(keys, count: count, group: block.headDim)
    self.values.append(values, count: count, group: block.headDim)
    // The first of these tokens still sees what it sees; layers that take these keys have the same window.
    let first = shape.firstSeen(by: self.tokens)
    self.keys.drop(before: first, width: width, group: block.headDim, rows: self.tokens + tokens)
    self.values.drop(before: first, width: width, group: block.headDim, rows: self.tokens + tokens)
  }

  /// Keeps the last inputs of a convolution for the tokens to come.
  ///
  /// - Parameters:
  ///   - count: values of these tokens.
  ///   - most: values that the convolution reads again.
  mutating func keepInputs(_ inputs: [Float], count: Int, of most: Int) {
    convolution = Array((convolution + inputs.prefix(count)).suffix(most))
  }

  /// Whether it can be as it was after fewer tokens: a recurrence cannot.
  var canBeCut: Bool { states.isEmpty && convolution.isEmpty }

  /// Forgets all but the first tokens.
  mutating func cut(to count: Int) {
    precondition(canBeCut && count <= tokens && count >= keys.dropped, "tokens that are kept")
    keys.cut(from: tokens, to: count)
    values.cut(from: tokens, to: count)
    if tokens > 0 { indexKeys.removeLast(indexKeys.count / tokens * (tokens - count)) }
    tokens = count
  }

  func keyValues(group: Int) -> (keys: [Float], values: [Float]) {
    (keys.values(group: group), values.values(group: group))
  }

  /// Bytes held.
  var bytes: Int { keys.bytes + values.bytes + 4 * (indexKeys.count + convolution.count + states.count) }
}

/// Rows that are added to at their end, and forgotten at their beginning where nothing reads them again.
struct CachedRows: Sendable {
  let type: CacheType
  /// Rows that were forgotten.
  private(set) var dropped = 0
  private var floats: [Float] = []
  private var halves: [UInt8] = []
  private var codes: [Int8] = []
  private var scales: [Float] = []

  init(_ type: CacheType) { self.type = type }

  var bytes: Int { 4 * (floats.count + scales.count) + halves.count + codes.count }

  /// - Parameters:
  ///   - values: begins with so many values to add.
  ///   - group: values that share a scale of 8-bit codes.
  mutating func append(_ values: [Float], count: Int, group: Int) {
    switch type {
    case .f32: floats += values.prefix(count)
    case .f16:
      let bytes = Bytes(overwriting: 2 * count) { out in
        encode(.f16, values.span.extracting(0..<count), into: &out)
      }
      halves += bytes.array
    case .q8:
      precondition(count % group == 0, "whole heads")
      for first in stride(from: 0, to: count, by: group) {
        var most: Float = 0
        for index in first..<first + group { most = max(most, abs(values[index])) }
        let scale = most / 127
        scales.append(scale)
        let inverse = scale > 0 ? 1 / scale : 0
        for index in first..<first + group { codes.append(Int8((values[index] * inverse).rounded())) }
      }
    }
  }

  /// Forgets rows before a position, once they are as many as those that are left, so that it costs little for each.
  mutating func drop(before position: Int, width: Int, group: Int, rows: Int) {
    let count = position - dropped
    guard count > 0, count >= rows - position else { return }
    dropped = position
    switch type {
    case .f32: floats.removeFirst(count * width)
    case .f16: halves.removeFirst(2 * count * width)
    case .q8:
      codes.removeFirst(count * width)
      scales.removeFirst(count * width / group)
    }
  }

  /// Forgets the last rows: of so many positions, those from `count` on.
  mutating func cut(from positions: Int, to count: Int) {
    let rows = positions - dropped
    guard rows > 0 else { return }
    let last = positions - count
    floats.removeLast(floats.count / rows * last)
    halves.removeLast(halves.count / rows * last)
    codes.removeLast(codes.count / rows * last)
    scales.removeLast(scales.count / rows * last)
  }

  /// All rows that are left, in F32.
  func values(group: Int) -> [Float] {
    switch type {
    case .f32: return floats
    case .f16:
      var values = [Float](repeating: 0, count: halves.count / 2)
      var span = values.mutableSpan
      decode(.f16, halves.span.raw, into: &span)
      return values
    case .q8:
      var values = [Float](repeating: 0, count: codes.count)
      for (number, scale) in scales.enumerated() {
        for index in number * group..<(number + 1) * group { values[index] = scale * Float(codes[index]) }
      }
      return values
    }
  }
}
