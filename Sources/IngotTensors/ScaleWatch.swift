import IngotSystem
import Synchronization

/// Holds the scales that a tensor's codes got against the weights, rows by rows, so that none is flushed to 0 or to the end of
/// its type unsaid. All encoders end here.
///
/// A weight beyond what its scale's type holds is an error. Blocks of weights so small that their scales are rounded by much,
/// or to 0, are an error where that matters in the tensor, and counted where it does not: rows of tokens that were never
/// trained. Costs a look at the stored scales; weights are looked at only where one of these is at an end of its type.
public final class ScaleWatch: Sendable {
  /// Blocks of a tensor whose scales are coarse, beside weights that are much larger.
  public struct Coarse: Sendable {
    public var blocks: Int
    /// The largest weight in them.
    public var largest: Float
  }

  private struct State {
    /// Rows that have passed, a bit for each: a view may ask for them in any order, and for some of them again.
    var seen: [UInt64] = []
    var rows = 0
    var peak: Float = 0
    var error: Float = 0
    var coarse = Coarse(blocks: 0, largest: 0)
    var place = (row: 0, column: 0)

    /// Whether all rows have passed now.
    mutating func pass(_ range: Range<Int>, of count: Int) -> Bool {
      if range.count == count { return true }
      if seen.isEmpty { seen = [UInt64](repeating: 0, count: (count + 63) / 64) }
      for row in range where seen[row / 64] >> (row % 64) & 1 == 0 {
        seen[row / 64] |= 1 << (row % 64)
        rows += 1
      }
      return rows == count
    }
  }

  private let tensor: Tensor
  private let encoding: Encoding
  private let range: ScaleRange?
  private let names: @Sendable () -> [String]
  private let heard: (@Sendable (Tensor, Coarse) -> Void)?
  private let state = Mutex(State())

  /// - Parameters:
  ///   - tensor: what is quantized, for messages.
  ///   - names: the tensors that a user would leave unquantized together with it; nil for it alone.
  ///   - heard: hears of coarse blocks that do not matter, when all rows have passed.
  public init(
    _ tensor: Tensor, as encoding: Encoding, names: (@Sendable () -> [String])? = nil,
    heard: (@Sendable (Tensor, Coarse) -> Void)? = nil
  ) {
    self.names = names ?? { [tensor.name] }
    self.tensor = tensor
    self.encoding = encoding
    self.heard = heard
    range = ScaleRange(encoding)
  }

  /// Looks at the planes of some rows.
  ///
  /// - Parameter values: the weights, all finite; asked for only where scales are at an end of their type.
  /// - Throws: FormatError naming the tensor, the weight, the range of the scales' type and the way out.
  public func check(
    _ planes: [Bytes], rows: Range<Int>, _ values: () throws(FormatError) -> [Float]
  ) throws(FormatError) {
    guard let range, !rows.isEmpty else { return }
    let glance = range.glance(planes)
    var findings = ScaleRange.Findings()
    findings.peak = glance.peak
    var error: Float = 0
    let least = range.leastWeight / range.divisor(planes)
    if glance.isSuspicious {
      let weights = try values()
      findings = range.examine(weights.span, columns: tensor.columns, planes)
      if let overflow = findings.overflow {
        throw failure(
          range.bounds,
          "\(number(overflow.value)) at element [\(rows.lowerBound + overflow.row), \(overflow.column)]")
      }
      error = range.error(findings, planes)
    }
    let whole = state.withLock { state -> State? in
      let isWhole = state.pass(rows, of: tensor.rows)
      state.peak = max(state.peak, findings.peak)
      state.error = max(state.error, error)
      state.coarse.blocks += findings.coarseBlocks
      if findings.coarsest > state.coarse.largest {
        state.coarse.largest = findings.coarsest
        state.place = (rows.lowerBound + findings.place.row, findings.place.column)
      }
      guard isWhole else { return nil }
      defer { state = State() }
      return state
    }
    guard let whole, whole.coarse.blocks > 0 else { return }
    guard whole.error > range.storage.negligible * whole.peak else {
      heard?(tensor, whole.coarse)
      return
    }
    throw failure(
      "weights from about \(number(least)) on, since smaller steps are rounded coarsely or to 0",
      "blocks of at most \(number(whole.coarse.largest)), at element [\(whole.place.row), \(whole.place.column)], in a tensor "
        + "of at most \(number(whole.peak))")
  }

  private func number(_ value: Float) -> String { "\(value)" }

  private func failure(_ expected: String, _ found: String) -> FormatError {
    let storage = range!.storage
    let held = isDense ? "" : ", whose scales are \(storage.name), \(storage.least) to \(storage.greatest)"
    return tensor.error(
      "\(expected) for \(encoding)\(held) (\(remedy))", found: "\(found) of \(tensor.role)")
  }

  private var isDense: Bool {
    if case .dense = encoding { return true }
    return false
  }

  /// What the user can do: name the tensor in a rule, or take scales of a wider type.
  private var remedy: String {
    let dense = encoding == .dense(.f16) ? "bf16" : encoding == .dense(.bf16) ? "f32" : "bf16"
    let rule =
      "a first rule 'names: [\(patterns)]' with 'encoding: \(dense)' in a recipe leaves it in \(dense)"
    guard case .affine(var scheme) = encoding, scheme.scale == .f16 else { return rule }
    scheme.scale = .bf16
    return
      "'\(scheme)' holds them where the format has scales of BF16, as recipes w4a16 and mlx-4bit have; \(rule)"
  }

  private var patterns: String { names().map { printable(pattern($0)) }.joined(separator: ", ") }

  /// A tensor's name; of an expert with a star for the expert, since formats stack them.
  private func pattern(_ name: String) -> String {
    guard let expert = tensor.role.expert else { return name }
    var pieces = name.split(separator: ".", omittingEmptySubsequences: false).map(String.init)
    guard let place = pieces.lastIndex(of: "\(expert)") else { return name }
    pieces[place] = "*"
    return pieces.joined(separator: ".")
  }
}
