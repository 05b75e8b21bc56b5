import IngotModels
import IngotSystem
import IngotTensors
import IngotTokenizer

/// Lines of JSON as text: each an object with `text`, or with `messages` and perhaps `tools`, which become a conversation
/// in MiniMax-M2's form.
enum ChatLines {
  static func text(of bytes: Bytes, path: String) throws(FormatError) -> Bytes {
    var out: [UInt8] = []
    for (index, line) in bytes.array.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
      .enumerated()
    where !line.allSatisfy({ $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\r") || $0 == UInt8(ascii: "\t") }
    ) {
      let place = "\(path), line \(index + 1)"
      let object = try JSON.parse(Array(line), path: place)
      if let text = object["text"]?.string {
        out += Array((text + "\n").utf8)
      } else if let messages = object["messages"]?.array {
        out += Array(try ChatText.render(messages, tools: object["tools"]?.array ?? [], path: place).utf8)
      } else {
        throw FormatError(path: place, expected: "\"text\" or \"messages\"", found: object.kind)
      }
    }
    return Bytes(out)
  }
}
