/// What a download left in place of a file: a pointer of Git LFS, a page of HTML, a message.
public enum StandIn {
  /// What `bytes`, which should be something else, are known to be instead; nil when that cannot be told.
  public static func description(_ bytes: Bytes) -> String? {
    if let pointer = pointer(bytes) { return pointer }
    let head = bytes[0..<min(bytes.count, 512)].array
    let text = head.drop { $0 == 0x20 || (0x09...0x0D).contains($0) || [0xEF, 0xBB, 0xBF].contains($0) }
    let start = String(decoding: text.prefix(64), as: UTF8.self).lowercased()
    if start.hasPrefix("<!doctype html") || start.hasPrefix("<html") || start.hasPrefix("<head") {
      return "a page of HTML: the download got a web page, such as one to log in, instead of the file; "
        + "download it again"
    }
    if start.hasPrefix("<?xml") || start.hasPrefix("<error") {
      return "a message in XML: the server refused the download; download the file again"
    }
    for message in [
      "access to model", "access denied", "entry not found", "repository not found", "not found", "forbidden",
      "unauthorized", "invalid username or password",
    ]
    where start.hasPrefix(message) {
      return "the message '\(printable(String(decoding: text.prefix(120), as: UTF8.self)))' of a server; "
        + "download the file again"
    }
    if head.starts(with: Array("PK\u{3}\u{4}".utf8)) {
      return "a ZIP archive, perhaps PyTorch's pickle, which could run any code when read"
    }
    if head.starts(with: [0x1F, 0x8B]) { return "a gzip archive; unpack it first" }
    if head.starts(with: Array("GGUF".utf8)) { return "a GGUF file under another suffix" }
    if !head.isEmpty, head.count >= min(bytes.count, 512), head.allSatisfy({ $0 == 0 }) {
      return "zeros: the download was broken off; download the file again"
    }
    return nil
  }

  /// What to say of a pointer of Git LFS; nil for anything else.
  static func pointer(_ bytes: Bytes) -> String? {
    let start = Array("version https://git-lfs.github.com/spec/".utf8)
    guard bytes.count < 2048, bytes.count >= start.count, bytes[0..<start.count].array == start else {
      return nil
    }
    return "a pointer of Git LFS, which stands for the file: 'git lfs pull' in its folder downloads it"
  }
}
