import Kernels
import Tensors

/// Writes a small file at once; it appears under its name when it is complete and durable.
///
/// - Parameter force: replace what stands there.
public func writeFile(_ content: [UInt8], to path: String, force: Bool = false) throws(FormatError) {
  var options = WriteOptions()
  options.force = force
  let output = try Output(
    path, parts: [(path, content.count)],
    identity: ["content": .string(hexDigits(XXH3.hash(Bytes(content).span)))],
    options)
  do throws(FormatError) {
    if !output.isComplete { try output.files[0].write(content, at: 0) }
    try output.commit()
  } catch {
    output.discard()
    throw error
  }
}
