import Tensors

/// Lines of JSON as calibration text: each an object with `text`, or with `messages`, whose roles and contents are
/// written in MiniMax-M2's chat format.
enum ChatLines {
  static func text(of bytes: Bytes, path: String) throws(FormatError) -> Bytes {
    var out: [UInt8] = []
    for (index, line) in bytes.array.split(separator: UInt8(ascii: "\n")).enumerated() {
      let place = "\(path), line \(index + 1)"
      let object = try JSON.parse(Array(line), path: place)
      if let text = object["text"]?.string {
        out += Array((text + "\n").utf8)
        continue
      }
      guard let messages = object["messages"]?.array else {
        throw FormatError(path: place, expected: "\"text\" or \"messages\"", found: "neither")
      }
      for message in messages {
        guard let role = message["role"]?.string, let content = message["content"]?.string else {
          throw FormatError(
            path: place, expected: "messages with \"role\" and \"content\" as text", found: "another kind")
        }
        let speaker = role == "assistant" ? "ai" : role
        out += Array("]~b]\(speaker)\n\(content)[e~[\n".utf8)
      }
    }
    return Bytes(out)
  }
}
