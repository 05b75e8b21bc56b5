import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

/// The directory of an artifact: what every tensor and side file is and where it lies.
struct IngotDirectory {
  var tensors: [IngotTensorRecord]
  var files: [IngotFileRecord]

  /// Bytes of the encoded directory. They depend on names and counts only, never on places or checksums.
  var encodedLength: Int { encoded().count }

  /// The directory as bytes: counts, encodings, kinds, tensor records, file records, names.
  func encoded() -> [UInt8] {
    var encodings: [Encoding] = []
    var numbers: [Encoding: Int] = [:]
    for tensor in tensors where numbers[tensor.encoding] == nil {
      numbers[tensor.encoding] = encodings.count
      encodings.append(tensor.encoding)
    }
    let kinds = Set(tensors.map(\.role.kind)).sorted {
      $0.rawValue.utf8.lexicographicallyPrecedes($1.rawValue.utf8)
    }
    let kindNumbers = Dictionary(uniqueKeysWithValues: kinds.enumerated().map { ($1, $0) })
    precondition(encodings.count <= IngotLayout.encodingLimit && kinds.count <= IngotLayout.kindLimit)
    var names: [UInt8] = []
    func place(_ name: String) -> (UInt32, UInt32) {
      let start = names.count
      names.append(contentsOf: name.utf8)
      return (UInt32(start), UInt32(names.count - start))
    }
    var records = ByteWriter()
    for tensor in tensors {
      let (start, length) = place(tensor.name)
      records.put(start)
      records.put(length)
      records.put(UInt16(kindNumbers[tensor.role.kind]!))
      records.put(UInt16(numbers[tensor.encoding]!))
      records.put(Int32(tensor.role.layer ?? -1))
      records.put(Int32(tensor.role.expert ?? -1))
      records.put(UInt32(tensor.part))
      records.put(UInt32(tensor.shape.count))
      records.put(UInt32(0))
      for index in 0..<IngotLayout.rankLimit {
        records.put(UInt32(index < tensor.shape.count ? tensor.shape[index] : 0))
      }
      records.put(UInt64(tensor.offset))
      records.put(UInt64(tensor.length))
      for index in 0..<IngotLayout.planeLimit {
        records.put(index < tensor.checksums.count ? tensor.checksums[index] : 0)
      }
    }
    for file in files {
      let (start, length) = place(file.name)
      records.put(start)
      records.put(length)
      records.put(file.kind.rawValue)
      records.put(UInt16(file.compressed ? 1 : 0))
      records.put(UInt32(0))
      records.put(UInt64(file.offset))
      records.put(UInt64(file.storedLength))
      records.put(UInt64(file.rawLength))
      records.put(file.checksum)
    }
    var out = ByteWriter()
    out.put(UInt32(encodings.count))
    out.put(UInt32(kinds.count))
    out.put(UInt32(tensors.count))
    out.put(UInt32(files.count))
    out.put(UInt64(names.count))
    for encoding in encodings { out.put(IngotDirectory.record(encoding)) }
    for kind in kinds { out.put(IngotDirectory.record(kind)) }
    out.put(records.bytes)
    out.put(names)
    return out.bytes
  }

  /// The 64 bytes of a kind's record: its name, and zeros behind it.
  static func record(_ kind: TensorKind) -> [UInt8] {
    precondition(TensorKind.isValid(kind.rawValue), "'\(kind.rawValue)' is no kind")
    var out = ByteWriter()
    out.put(Array(kind.rawValue.utf8))
    out.pad(to: IngotLayout.kindSize)
    return out.bytes
  }

  /// The 32 bytes of an encoding's record.
  static func record(_ encoding: Encoding) -> [UInt8] {
    var out = ByteWriter()
    switch encoding {
    case .dense(let type): out.put([0, IngotLayout.number(of: type)])
    case .blockScaled(let scheme):
      out.put([1, IngotLayout.number(of: scheme.code), IngotLayout.number(of: scheme.scale)])
      out.pad(to: 12)
      out.put(UInt32(scheme.blockRows))
      out.put(UInt32(scheme.blockColumns))
    case .affine(let scheme):
      let offset = IngotLayout.offsets.first { $0.offset == scheme.offset }!.number
      out.put([2, 0, IngotLayout.number(of: scheme.scale), UInt8(scheme.bits), offset])
      out.pad(to: 8)
      out.put(UInt32(scheme.group ?? 0))
    case .microScaled(let scheme):
      out.put([4, IngotLayout.number(of: scheme.code), IngotLayout.number(of: scheme.scale), 0])
      out.put(scheme.global.rawValue)
      out.pad(to: 8)
      out.put(UInt32(scheme.group))
    case .columnPacked(let scheme):
      preconditionFailure("\(scheme) has no record: it is stored with rows apart")
    case .tiles(let scheme): preconditionFailure("\(scheme) is refused before")
    case .ggml(let type): out.put([3, type.rawValue])
    case .trellis(let scheme): out.put([5, UInt8(scheme.shape.halves), UInt8(scheme.shape.window)])
    }
    out.pad(to: IngotLayout.encodingSize)
    return out.bytes
  }

  /// The encoding of a record; nil when the record is none that a writer could have made.
  static func encoding(_ record: [UInt8]) -> Encoding? {
    func type(_ number: UInt8) -> DType? { IngotLayout.types.first { $0.number == number }?.type }
    func word(_ at: Int) -> Int { (0..<4).reduce(0) { $0 | Int(record[at + $1]) << (8 * $1) } }
    guard let kind = record.first else { return nil }
    let encoding: Encoding?
    switch kind {
    case 0: encoding = type(record[1]).map { .dense($0) }
    case 1:
      guard let code = type(record[1]), let scale = type(record[2]) else { return nil }
      encoding = BlockScaled(code: code, scale: scale, blockRows: word(12), blockColumns: word(16))
        .map { .blockScaled($0) }
    case 2:
      guard let scale = type(record[2]),
        let offset = IngotLayout.offsets.first(where: { $0.number == record[4] })?.offset
      else { return nil }
      encoding = Affine(
        bits: Int(record[3]), group: word(8) == 0 ? nil : word(8), offset: offset, scale: scale
      )
      .map { .affine($0) }
    case 4:
      guard let code = type(record[1]), let scale = type(record[2]),
        let global = MicroScaled.Global(rawValue: record[4])
      else { return nil }
      encoding = MicroScaled(code: code, group: word(8), scale: scale, global: global)
        .map { .microScaled($0) }
    case 3: encoding = GGMLType(rawValue: record[1]).map { .ggml($0) }
    case 5: encoding = Trellis(halves: Int(record[1]), window: Int(record[2])).map { .trellis($0) }
    default: return nil
    }
    // Reserved bytes must be zero: one encoding has one record.
    guard let encoding, IngotDirectory.record(encoding) == record else { return nil }
    return encoding
  }
}

extension IngotHeader {
  /// The 128 bytes of the header.
  func encoded() -> [UInt8] {
    var out = ByteWriter()
    out.put(IngotLayout.magic)
    out.put(IngotLayout.majorVersion)
    out.put(IngotLayout.minorVersion)
    out.put(UInt32(0))
    out.put(UInt32(part))
    out.put(UInt32(parts))
    out.put(UInt64(fileLength))
    out.put(UInt64(directoryOffset))
    out.put(UInt64(directoryLength))
    out.put(directoryChecksum)
    out.pad(to: IngotLayout.headerSize - 8)
    out.put(XXH3.hash(out.bytes))
    return out.bytes
  }
}

extension XXH3 {
  /// XXH3-64 of an array.
  static func hash(_ array: [UInt8]) -> UInt64 {
    let bytes = Bytes(array)
    return hash(bytes.span)
  }
}
