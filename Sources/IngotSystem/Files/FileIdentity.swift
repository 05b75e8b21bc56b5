import IngotKernels

/// What tells one state of a file from another: size, time of its last change, and XXH3-64 of its first 64 KiB, where
/// formats have their headers; of a file on another machine, what its host says of its content.
public func fileIdentity(_ path: String) throws(FormatError) -> JSON {
  if let remote = RemoteFiles.file(path) {
    return [
      "name": .string(Folder.name(of: path)), "bytes": JSON(remote.size), "content": .string(remote.identity),
    ]
  }
  let file = try File(reading: path)
  let size = try file.size()
  let head = try file.read(min(size, 1 << 16), at: 0)
  return [
    "name": .string(Folder.name(of: path)), "bytes": JSON(size), "modified": JSON(try file.modified()),
    "head": .string(hexDigits(XXH3.hash(head.span))),
  ]
}
