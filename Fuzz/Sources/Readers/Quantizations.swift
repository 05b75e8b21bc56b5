import IngotFormats
import IngotModels
import IngotSystem
import IngotTensors

// Checkpoints that others quantized. An input is config.json, a line `%%`, and the header of the weights; the weights
// are zeros, as many as the header's largest number says.
extension Target {
  static var quantizations: [Target] {
    [Format.gptq, .awq, .compressedTensors, .mlx, .exl3].map { format in
      Target(name: format.name) {
        let folder = TinyCheckpoint(in: format.name)
        return { input throws(FormatError) in
          let mark = Array("\n%%\n".utf8)
          guard let cut = input.firstRange(of: mark) else { return }
          let header = input[cut.upperBound...]
          folder.config.write(input[..<cut.lowerBound], length: cut.lowerBound)
          let text = TinyCheckpoint.littleEndian(header.count) + header
          folder.weights.write(text[...], length: text.count + largestNumber(header))
          let model = try format.read(folder.path, .init(keepUnknown: true))
          try touch(model)
          try touch(try model.mapTensors { $0.rowPacked ?? $0 })
        }
      }
    }
  }

  /// The largest decimal number up to 1 MiB in a text.
  private static func largestNumber(_ text: ArraySlice<UInt8>) -> Int {
    var (largest, number) = (0, 0)
    for byte in text {
      guard byte >= 0x30, byte <= 0x39 else {
        number = 0
        continue
      }
      number = min(number * 10 + Int(byte - 0x30), 1 << 40)
      if number <= 1 << 20 { largest = max(largest, number) }
    }
    return largest
  }
}

extension [UInt8] {
  fileprivate func firstRange(of mark: [UInt8]) -> Range<Int>? {
    guard count >= mark.count else { return nil }
    return (0...count - mark.count).first { self[$0..<$0 + mark.count].elementsEqual(mark) }.map {
      $0..<$0 + mark.count
    }
  }
}
