import IngotKernels
import IngotSystem

/// Which weights an encoding can hold, by the range of the type that its scales are stored in.
///
/// A block's weights ask for a step: their largest magnitude or range over the `levels` of its codes. Steps are a stored
/// scale, or a whole multiple of one. Above the type's greatest value they do not exist. Below `coarse` of its least value
/// they are rounded by much, or to 0.
struct ScaleRange {
  /// How a step follows from a part's weights.
  enum Form {
    /// Codes on both sides of 0.
    case symmetric
    /// Codes from a zero point: the range with 0 in it.
    case aroundZero
    /// Codes from the least weight, which is stored beside the step.
    case offset
  }

  /// The type of stored scales.
  struct Storage {
    var name: String
    /// Bytes of a scale.
    var width: Int
    var greatest: Float
    var least: Float
    /// Bits of the greatest finite value.
    var greatestCode: UInt16
    /// Below so many times `least`, rounding costs much.
    var coarse: Float
    /// The share of a tensor's largest weight that an error may have which is not worth an error: what the type's own
    /// rounding costs anyway.
    var negligible: Float

    static let f16 = Storage(
      name: "F16", width: 2, greatest: 65504, least: 0x1p-24, greatestCode: 0x7BFF, coarse: 4,
      negligible: 0x1p-8)
    static let bf16 = Storage(
      name: "BF16", width: 2, greatest: 0x1.FEp127, least: 0x1p-133, greatestCode: 0x7F7F, coarse: 4,
      negligible: 0x1p-8)
    // Three bits of mantissa: a least scale that is off by half is not much worse than the others.
    static let f8e4m3 = Storage(
      name: "F8_E4M3", width: 1, greatest: 448, least: 0x1p-9, greatestCode: 0x7E, coarse: 1,
      negligible: 0x1p-2)

    /// A value's bits.
    func value(_ code: UInt16) -> Float {
      if width == 1 {
        let (exponent, mantissa) = (Int(code >> 3), Float(code & 7))
        return exponent == 0
          ? mantissa * 0x1p-9 : (8 + mantissa) * Float(sign: .plus, exponent: exponent - 10, significand: 1)
      }
      if greatest > 65504 { return Float(bitPattern: UInt32(code) << 16) }
      let (exponent, mantissa) = (Int(code >> 10), Float(code & 1023))
      return exponent == 0
        ? mantissa * 0x1p-24 : (1024 + mantissa) * Float(sign: .plus, exponent: exponent - 25, significand: 1)
    }
  }

  /// Where scales lie in a plane.
  struct Place {
    var plane: Int
    var offset = 0
    var stride: Int
  }

  var storage: Storage
  var form: Form
  /// Columns that share a stored scale; nil for a row.
  var block: Int?
  /// Columns of a block that share a step; nil for all.
  var part: Int?
  /// Steps between the codes' extremes, or from 0 to the nearer one.
  var levels: Float
  /// The largest multiple of a stored scale, and of a stored offset.
  var multiples: Float = 1
  var offsetMultiples: Float = 1
  var scales: Place
  var offsets: Place?
  /// The plane of the divisor of all scales, if there is one.
  var divisor: Int?
  /// Whether a scale's bits are apart, so that the weights have to be looked at.
  var isSpread = false

  /// Which weights have a step, in words.
  var bounds: String {
    let most = min(storage.greatest * multiples * levels, .greatestFiniteMagnitude)
    guard form != .symmetric else { return "weights up to \(most)" }
    let span = "blocks whose weights lie at most \(most) apart"
    return offsets == nil ? span : span + ", the least at most \(storage.greatest * offsetMultiples) from 0"
  }
  /// The least magnitude of a block whose step is not coarse, under a divisor of 1.
  var leastWeight: Float { storage.least * storage.coarse * levels }
}

extension ScaleRange {
  /// - Returns: nil for an encoding whose scales hold what F32 weights ask for: those of F32 and powers of two, and dense F32.
  init?(_ encoding: Encoding) {
    switch encoding {
    case .affine(let scheme): self.init(scheme)
    case .microScaled(let scheme): self.init(scheme)
    case .ggml(let type): self.init(type)
    case .dense(let type):
      guard var storage = Storage(type) else { return nil }
      // A row of values is as a block with a step of 1; only where all of them are near the type's end is much lost.
      storage.coarse = 128
      self.init(storage: storage, form: .symmetric, levels: 1, scales: Place(plane: 0, stride: 2))
    case .blockScaled, .columnPacked, .trellis, .tiles: return nil
    }
  }

  private init?(_ scheme: Affine) {
    guard let storage = Storage(scheme.scale) else { return nil }
    let most = Float((1 << scheme.bits) - 1)
    let form: Form =
      switch scheme.offset {
      case .symmetric: .symmetric
      case .zeroPoint: .aroundZero
      case .bias: .offset
      }
    self.init(
      storage: storage, form: form, block: scheme.group, levels: form == .symmetric ? most / 2 : most,
      scales: Place(plane: 1, stride: 2), offsets: form == .offset ? Place(plane: 2, stride: 2) : nil)
  }

  private init?(_ scheme: MicroScaled) {
    guard scheme.scale == .f8e4m3 else { return nil }
    self.init(
      storage: .f8e4m3, form: .symmetric, block: scheme.group, levels: scheme.greatest,
      scales: Place(plane: 1, stride: 1), divisor: scheme.global == .divisor ? 2 : nil)
  }

  private init?(_ type: GGMLType) {
    let stride = type.blockBytes
    func range(
      _ form: Form, _ levels: Float, d: Int = 0, m: Int? = nil, part: Int? = nil, multiples: Float = 1,
      offsetMultiples: Float = 1
    ) -> ScaleRange {
      ScaleRange(
        storage: .f16, form: form, block: type.blockWeights, part: part, levels: levels, multiples: multiples,
        offsetMultiples: offsetMultiples, scales: Place(plane: 0, offset: d, stride: stride),
        offsets: m.map { Place(plane: 0, offset: $0, stride: stride) })
    }
    switch type {
    case .q40: self = range(.symmetric, 8)
    case .q41: self = range(.offset, 15, m: 2)
    case .q50: self = range(.symmetric, 16)
    case .q51: self = range(.offset, 31, m: 2)
    case .q80: self = range(.symmetric, 127)
    case .iq4NL: self = range(.symmetric, 113)
    case .iq4XS: self = range(.symmetric, 113, part: 32, multiples: 31)
    case .q2K: self = range(.aroundZero, 3, d: 80, m: 82, part: 16, multiples: 15, offsetMultiples: 15)
    case .q3K: self = range(.symmetric, 4, d: 108, part: 16, multiples: 31)
    case .q4K: self = range(.aroundZero, 15, m: 2, part: 32, multiples: 63, offsetMultiples: 63)
    case .q5K: self = range(.aroundZero, 31, m: 2, part: 32, multiples: 63, offsetMultiples: 63)
    case .q6K: self = range(.symmetric, 32, d: 208, part: 16, multiples: 127)
    case .iq2XXS: self = range(.symmetric, 5.375, part: 32, multiples: 31)
    case .iq2XS, .iq2S: self = range(.symmetric, 5.375, part: 16, multiples: 31)
    case .iq3XXS: self = range(.symmetric, 15.5, part: 32, multiples: 31)
    case .iq3S: self = range(.symmetric, 15, part: 32, multiples: 31)
    case .iq1S: self = range(.symmetric, 1.125, part: 32, multiples: 15)
    case .iq1M:
      // Its scale is spread over four words: nothing to look at before the weights.
      self = range(.symmetric, 1.125, d: 54, part: 16, multiples: 15)
      isSpread = true
    case .mxfp4, .tq10, .tq20, .nvfp4, .q10, .q20: return nil
    }
  }
}

extension ScaleRange.Storage {
  fileprivate init?(_ type: DType) {
    switch type {
    case .f16: self = .f16
    case .bf16: self = .bf16
    default: return nil
    }
  }
}

extension ScaleRange {
  /// What stored scales say by themselves.
  struct Glance {
    /// Whether one is at an end of its type, so that the weights have to be looked at.
    var isSuspicious: Bool
    /// About the largest magnitude of the weights.
    var peak: Float
  }

  /// Looks at the stored scales of some rows.
  func glance(_ planes: [Bytes]) -> Glance {
    let divisor = divisor(planes)
    guard let found = extremes(planes, scales) else { return Glance(isSuspicious: false, peak: 0) }
    if isSpread { return Glance(isSuspicious: true, peak: storage.greatest * multiples * levels) }
    var isSuspicious =
      found.greatest >= storage.greatestCode
      || storage.value(found.least) < storage.coarse * storage.least && isBlocked
      || !isBlocked && storage.value(found.greatest) < storage.coarse * storage.least
    if let offsets, let most = extremes(planes, offsets) {
      // The range of weights with so large an offset may pass F32.
      isSuspicious = isSuspicious || storage.value(most.greatest) >= min(storage.greatest, 0x1p126)
    }
    return Glance(
      isSuspicious: isSuspicious, peak: storage.value(found.greatest) * multiples * levels / divisor)
  }

  /// Whether scales are apart from values: of dense ones each is its own, and small ones are as usual as large ones.
  private var isBlocked: Bool { scales.plane > 0 || scales.stride != 2 }

  private func extremes(_ planes: [Bytes], _ place: Place) -> (least: UInt16, greatest: UInt16)? {
    let plane = planes[place.plane]
    return scaleExtremes(
      plane.span, width: storage.width, offset: place.offset, stride: place.stride,
      count: plane.count / place.stride)
  }

  /// What stored scales are divided by.
  func divisor(_ planes: [Bytes]) -> Float {
    guard let divisor, planes[divisor].count >= 4 else { return 1 }
    let plane = planes[divisor]
    return Float(bitPattern: plane.span.littleEndian(UInt32.self, at: 0))
  }

  /// What weights ask of their scales.
  struct Findings {
    /// A weight whose block has no step: row, column and value.
    var overflow: (row: Int, column: Int, value: Float)?
    /// Blocks whose steps are coarse, the largest magnitude in them, and where it is.
    var coarseBlocks = 0
    var coarsest: Float = 0
    var place = (row: 0, column: 0)
    /// The largest magnitude of all.
    var peak: Float = 0
  }

  /// Looks at all weights of some rows (rows, columns), all finite.
  func examine(_ values: Span<Float>, columns: Int, _ planes: [Bytes]) -> Findings {
    var findings = Findings()
    guard columns > 0 else { return findings }
    let divisor = divisor(planes)
    let block = block ?? columns
    let part = part ?? block
    let greatest = storage.greatest * 1.0002
    let coarse = storage.coarse * storage.least / divisor * levels
    for row in 0..<values.count / columns {
      for start in stride(from: 0, to: columns, by: block) {
        var (most, place) = (Float(0), start)
        for first in stride(from: start, to: min(start + block, columns), by: part) {
          var (low, high) = (Float.infinity, -Float.infinity)
          for column in first..<min(first + part, columns) {
            let value = values[row * columns + column]
            low = min(low, value)
            high = max(high, value)
            if abs(value) > most { (most, place) = (abs(value), column) }
          }
          let (step, offset) = demand(low, high)
          if step * divisor > greatest * multiples || offset > greatest * offsetMultiples {
            findings.overflow = findings.overflow ?? (row, place, values[row * columns + place])
          }
        }
        findings.peak = max(findings.peak, most)
        guard most > 0, most < coarse else { continue }
        findings.coarseBlocks += 1
        if most > findings.coarsest { (findings.coarsest, findings.place) = (most, (row, place)) }
      }
    }
    return findings
  }

  /// The step that a part asks for, and the magnitude of its offset; an infinity where F32 does not hold the range.
  private func demand(_ low: Float, _ high: Float) -> (step: Float, offset: Float) {
    switch form {
    case .symmetric: return (max(-low, high) / levels, 0)
    case .aroundZero:
      let (low, high) = (min(low, 0), max(high, 0))
      // Halved, so that the range cannot overflow.
      return ((high * 0.5 - low * 0.5) / (levels * 0.5), offsets == nil ? 0 : -low)
    case .offset: return ((high - low) / levels, abs(low))
    }
  }

  /// The error that a coarse step leaves in a weight: half of the least step for every code, or all of the weight.
  func error(_ findings: Findings, _ planes: [Bytes]) -> Float {
    min(findings.coarsest, storage.least / 2 / divisor(planes) * levels)
  }
}
