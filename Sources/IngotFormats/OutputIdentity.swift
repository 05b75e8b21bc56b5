import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

extension Model {
  /// What decides the bytes of this model's files, for an unfinished output to be continued by the same only: options,
  /// the source's files as they are now, and the layout.
  ///
  /// - Parameter layout: headers and other bytes that are known before a weight is read.
  func identity(_ options: WriteOptions, layout: [Bytes]) throws(FormatError) -> JSONObject {
    var files: [JSON] = []
    for path in weightFiles { files.append(try fileIdentity(path)) }
    var sides: JSONObject = [:]
    for file in sideFiles { sides[file.name] = .string(hexDigits(XXH3.hash(file.bytes.span))) }
    // Sources are the same when every tensor is made from the same places.
    var tensors = XXH3()
    for tensor in self.tensors {
      let text = "\(tensor.name) \(tensor.role) \(tensor.shape) \(tensor.encoding) \(tensor.offset)\n"
      tensors.update(Bytes(Array(text.utf8)).span)
    }
    var headers = XXH3()
    for bytes in layout { headers.update(bytes.span) }
    return [
      "made by": .object(options.provenance), "options": .object(options.identity),
      "split size": options.splitSize.map { JSON($0) } ?? .null,
      "source hashes": .bool(options.hashSource),
      "source": ["files": .array(files), "other files": .object(sides)],
      "tensors": .string(hexDigits(tensors.digest())), "layout": .string(hexDigits(headers.digest())),
    ]
  }
}
