import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

/// How codes are chosen for an encoding. Any quantizer fills any encoding that has codes to choose.
public enum Quantizer: String, CaseIterable, Sendable {
  /// Scales from the extremes of each group, codes by rounding.
  case roundToNearest = "rtn"
  /// Scales and offsets by (weighted) least squares over candidates; never worse than round to nearest.
  case search = "mse"
  /// Codes by what they do to the layer's outputs: needs statistics from calibration.
  case gptq
  /// The codes and scales that mlx_lm.convert makes of the same weights, bit for bit.
  case matchMLX = "match-mlx"
  /// Rounding to a dense type.
  case cast

  /// The quantizer of a name, its earlier names `search` and `round-to-nearest` among them.
  public init?(name: String) {
    switch name {
    case "search": self = .search
    case "round-to-nearest": self = .roundToNearest
    default: self.init(rawValue: name)
    }
  }

  /// The quantizers that can fill an encoding.
  public static func filling(_ encoding: Encoding) -> [Quantizer] {
    fillingAlone(encoding) + (encoding.hasCodeGrid ? [.gptq] : [])
  }

  /// Those that need nothing but the weights.
  private static func fillingAlone(_ encoding: Encoding) -> [Quantizer] {
    switch encoding {
    case .affine(let scheme) where scheme.offset == .bias: [.search, .roundToNearest, .matchMLX]
    case .microScaled(let scheme) where !scheme.hasGlobal: [.search, .roundToNearest, .matchMLX]
    // Read from files of ModelOpt; nothing here writes it anew.
    case .microScaled(let scheme) where scheme.global == .factor: []
    case .affine, .microScaled: [.search, .roundToNearest]
    case .ggml(let type): Quantizer.filling(type)
    case .trellis: [.search]
    // Others are read; what is written is the newest.
    case .tiles(let scheme): scheme.shape.codebook == .mul1 ? [.search] : []
    case .dense(.f32), .dense(.f16), .dense(.bf16): [.cast]
    case .dense, .blockScaled, .columnPacked: []
    }
  }

  /// Quantizes rows of values.
  ///
  /// - Parameters:
  ///   - values: (rows, columns), finite.
  ///   - importance: (columns), or nil when all columns count the same.
  /// - Returns: the encoding's planes for these rows.
  func planes(
    _ values: [Float], rows: Int, columns: Int, importance: [Float]?, encoding: Encoding
  ) -> [Bytes] {
    switch encoding {
    case .dense(let type):
      guard let format = type.floatFormat, self == .cast else { break }
      return [
        Bytes(count: values.count * type.bits / 8) { output in
          IngotKernels.encode(format, values.span, into: &output)
        }
      ]
    case .affine(let scheme) where self == .search || self == .roundToNearest:
      let method: AffineMethod = self == .search ? .search : .roundToNearest
      return affine(values, rows, columns, importance, scheme, method)
    case .affine(let scheme) where self == .matchMLX: return matchingMLX(values, rows, columns, scheme)
    case .microScaled(let scheme) where self != .cast:
      return microScaled(values, rows, columns, importance, scheme)
    case .ggml(let type) where self != .cast:
      return ggml(values, rows, importance, type)
    case .trellis(let scheme) where self == .search:
      return Quantizer.trellis(values, rows: rows, columns: columns, hessian: nil, scheme).planes
    case .tiles(let scheme) where self == .search:
      return Quantizer.tiles(values, rows: rows, columns: columns, hessian: nil, scheme).planes
    default: break
    }
    preconditionFailure("\(rawValue) does not fill \(encoding)")
  }

  private func affine(
    _ values: [Float], _ rows: Int, _ columns: Int, _ importance: [Float]?, _ scheme: Affine,
    _ method: AffineMethod
  ) -> [Bytes] {
    let group = scheme.group ?? max(columns, 1)
    let groups = scheme.groups(columns)
    let storage = scheme.scale.floatFormat!
    var codes = [UInt8](repeating: 0, count: values.count)
    var codeSpan = codes.mutableSpan
    let scaleBytes = rows * groups * storage.byteCount
    // An empty span cannot stand for "none": optional spans are made here, once.
    let weights = importance?.span
    var scales = Bytes.empty
    var offsets = Bytes.empty
    switch scheme.offset {
    case .symmetric:
      scales = Bytes(count: scaleBytes) { output in
        quantizeAffineSymmetric(
          values.span, importance: weights, rows: rows, bits: scheme.bits, group: group, storage: storage,
          method: method, codes: &codeSpan, scales: &output)
      }
    case .zeroPoint:
      var zeros = [UInt8](repeating: 0, count: rows * groups)
      var zeroSpan = zeros.mutableSpan
      scales = Bytes(count: scaleBytes) { output in
        quantizeAffineZeroPoint(
          values.span, importance: weights, rows: rows, bits: scheme.bits, group: group, storage: storage,
          method: method, codes: &codeSpan, scales: &output, zeros: &zeroSpan)
      }
      offsets = Quantizer.packed(zeros, bits: scheme.bits, rows: rows)
    case .bias:
      offsets = Bytes(count: scaleBytes) { biases in
        scales = Bytes(count: scaleBytes) { output in
          quantizeAffineBias(
            values.span, importance: weights, rows: rows, bits: scheme.bits, group: group, storage: storage,
            method: method, codes: &codeSpan, scales: &output, biases: &biases)
        }
      }
    }
    let packed = Quantizer.packed(codes, bits: scheme.bits, rows: rows)
    return scheme.offset == .symmetric ? [packed, scales] : [packed, scales, offsets]
  }

  /// Codes of `rows` equal rows as bit streams, each row ending on a byte.
  static func packed(_ codes: [UInt8], bits: Int, rows: Int) -> Bytes {
    let columns = rows == 0 ? 0 : codes.count / rows
    let bytesPerRow = packedByteCount(bits: bits, count: columns)
    return Bytes(count: rows * bytesPerRow) { output in
      for row in 0..<rows {
        var target = output._mutatingExtracting(row * bytesPerRow..<(row + 1) * bytesPerRow)
        pack(bits: bits, codes.span.extracting(row * columns..<(row + 1) * columns), into: &target)
      }
    }
  }
}
