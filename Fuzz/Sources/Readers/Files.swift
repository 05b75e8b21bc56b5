import IngotFormats
import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors
import IngotTokenizer

// What is read from one file.
extension Target {
  static var files: [Target] {
    [
      Target(
        name: "safetensors",
        start: {
          let folder = TinyCheckpoint(
            in: "safetensors",
            config: TinyCheckpoint.config(
              #","quantization_config":{"quant_method":"fp8","weight_block_size":[16,16]}"#))
          return { input throws(FormatError) in
            folder.weights.write(input)
            try touch(try Format.safeTensors.read(folder.path, .init(keepUnknown: true)))
          }
        }, repair: repairSafeTensors),
      Target(name: "index") {
        let folder = TinyCheckpoint(in: "index", config: TinyCheckpoint.config())
        // Two shards, and the file that the input names.
        let half = TinyCheckpoint.tensors.count / 2
        for (name, part) in [("a", TinyCheckpoint.tensors[..<half]), ("b", TinyCheckpoint.tensors[half...])] {
          Scratch("index/\(name).safetensors").write(TinyCheckpoint.safeTensors(Array(part)))
        }
        let index = Scratch("index/model.safetensors.index.json")
        return { input throws(FormatError) in
          index.write(input)
          try touch(try Format.safeTensors.read(folder.path, .init()))
        }
      },
      Target(name: "gguf") {
        let file = Scratch("x.gguf")
        return { input throws(FormatError) in
          file.write(input)
          let model = try Format.gguf.read(file.path, .init(keepUnknown: true))
          try touch(model)
          if let json = model.sideFile("tokenizer.json") {
            let tokenizer = try Tokenizer(json: json.bytes.array, path: file.path, config: nil)
            _ = tokenizer.encode("Hello, world")
          }
        }
      },
      Target(
        name: "ingot",
        start: {
          let file = Scratch("x.ingot")
          return { input throws(FormatError) in
            file.write(input)
            try touch(try Format.ingot.read(file.path, .init(keepUnknown: true)))
          }
        }, repair: repairIngot),
      Target(name: "imatrix") {
        let model = try tinyModel()
        let file = Scratch("x.imatrix")
        return { input throws(FormatError) in
          file.write(input)
          _ = try ImportanceFile(file.path, for: model)
        }
      },
      Target(
        name: "calib",
        start: {
          let model = try tinyModel()
          let file = Scratch("x.calib")
          return { input throws(FormatError) in
            file.write(input)
            let statistics = try CalibrationFile.read(file.path, for: model)
            for number in 0..<statistics.layers {
              let layer = try statistics.layer(number)
              _ = layer.importance(model.blueprint)
              _ = layer.routedTokens(of: 0)
            }
          }
        }, repair: repairCalibration),
    ]
  }

  /// Sets the header's length to where its object ends, the first '}' that closes as many as were opened.
  private static func repairSafeTensors(_ data: UnsafeMutableBufferPointer<UInt8>, _ size: Int) -> Int {
    var (depth, quoted, at) = (0, false, 8)
    while at < size {
      switch data[at] {
      case UInt8(ascii: "\\") where quoted: at += 1
      case UInt8(ascii: "\""): quoted.toggle()
      case UInt8(ascii: "{") where !quoted: depth += 1
      case UInt8(ascii: "}") where !quoted: depth -= 1
      default: break
      }
      at += 1
      if depth == 0 { break }
    }
    guard at > 8, at < size else { return size }
    while at < size, data[at] == 0x20 { at += 1 }
    for (index, byte) in TinyCheckpoint.littleEndian(at - 8).enumerated() { data[index] = byte }
    return size
  }

  /// The same, and the checksum of every field, which stands in the second eight of its bytes.
  private static func repairCalibration(_ data: UnsafeMutableBufferPointer<UInt8>, _ size: Int) -> Int {
    let size = repairSafeTensors(data, size)
    guard size > 8 else { return size }
    let bytes = UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(data)[..<size])
    let length = Int(clamping: bytes.loadUnaligned(fromByteOffset: 0, as: UInt64.self))
    guard length <= size - 8 else { return size }
    // Two numbers in brackets are a field's place.
    var numbers: [Int] = []
    for at in 8..<8 + length {
      switch data[at] {
      case UInt8(ascii: "["): numbers = [0]
      case UInt8(ascii: ","): numbers.append(0)
      case 0x30...0x39 where !numbers.isEmpty && numbers[numbers.count - 1] < 1 << 40:
        numbers[numbers.count - 1] = numbers[numbers.count - 1] * 10 + Int(data[at] - 0x30)
      case UInt8(ascii: "]"):
        if numbers.count == 2, numbers[1] - numbers[0] >= 16, numbers[1] <= size - 8 - length {
          let field = 8 + length + numbers[0]..<8 + length + numbers[1]
          let content = UnsafeRawBufferPointer(rebasing: bytes[field.dropFirst(16)])
          bytes.storeBytes(
            of: XXH3.hash(RawSpan(_unsafeBytes: content)), toByteOffset: field.lowerBound + 8, as: UInt64.self
          )
        }
        numbers = []
      default: break
      }
    }
    return size
  }

  /// Sets file length, checksums of side files, of the directory and of the header.
  private static func repairIngot(_ data: UnsafeMutableBufferPointer<UInt8>, _ size: Int) -> Int {
    guard size >= 128 else { return size }
    let bytes = UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(data)[..<size])
    func word(_ at: Int) -> Int { Int(clamping: bytes.loadUnaligned(fromByteOffset: at, as: UInt64.self)) }
    func half(_ at: Int) -> Int { Int(bytes.loadUnaligned(fromByteOffset: at, as: UInt32.self)) }
    func put(_ value: UInt64, _ at: Int) { bytes.storeBytes(of: value, toByteOffset: at, as: UInt64.self) }
    func sum(_ start: Int, _ count: Int) -> UInt64 {
      XXH3.hash(RawSpan(_unsafeBytes: UnsafeRawBufferPointer(rebasing: bytes[start..<start + count])))
    }
    put(UInt64(size), 24)
    let (start, length) = (word(32), word(40))
    if start >= 128, length >= 24, start <= size, length <= size - start {
      // Counts of encodings, kinds and tensors say where the records of side files stand.
      let records = 24 + 32 * half(start) + 64 * half(start + 4) + 104 * half(start + 8)
      for number in 0..<min(half(start + 12), 64) where records + 48 * (number + 1) <= length {
        let record = start + records + 48 * number
        let (place, stored) = (word(record + 16), word(record + 24))
        if place <= size, stored <= size - place { put(sum(place, stored), record + 40) }
      }
      put(sum(start, length), 48)
    }
    put(sum(0, 120), 120)
    return size
  }
}
