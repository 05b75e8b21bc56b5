import IngotFormats
import IngotInference
import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors

// What shares of one piece of work have in common, wherever they are made.

extension Model {
  /// Its files of weights by name: sizes and some of their bytes.
  func weightFacts() throws(FormatError) -> JSON {
    var files: JSONObject = [:]
    for path in weightFiles { files[Folder.name(of: path)] = .string(try contentFingerprint(path)) }
    return .object(files)
  }

  /// Its other files by name.
  var sideFacts: JSON {
    var files: JSONObject = [:]
    for file in sideFiles { files[file.name] = .string(hexDigits(XXH3.hash(file.bytes.span))) }
    return .object(files)
  }
}

/// What tells contexts from others: texts, tokens, what is scored and the kinds of tokens.
func contextFacts(_ contexts: [Context]) -> JSON {
  var hash = XXH3()
  for context in contexts {
    let line =
      "\(context.text ?? "") \(hexDigits(SeenContexts.hash(context.tokens))) \(context.scoredPositions) "
      + context.kinds.map(\.rawValue).joined(separator: ",") + "\n"
    hash.update(Bytes(Array(line.utf8)).span)
  }
  return .string(hexDigits(hash.digest()))
}

/// What tells a file's content from others on any machine: its size and XXH3-64, of all of it or of its first, middle and last bytes.
func contentFingerprint(_ path: String, whole: Bool = false) throws(FormatError) -> String {
  let file = try File(reading: path)
  let size = try file.size()
  var hash = XXH3()
  let starts =
    whole ? Array(stride(from: 0, to: size, by: 1 << 24)) : [0, size / 2, max(size - (1 << 16), 0)]
  for start in starts {
    let bytes = try file.read(min(whole ? 1 << 24 : 1 << 16, size - start), at: start)
    hash.update(bytes.span)
  }
  return "\(size) bytes, \(hexDigits(hash.digest()))"
}
