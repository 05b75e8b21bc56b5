import IngotInference
import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors
import IngotTokenizer

/// What `verify` says beside the figures: of both models, and how it was run.
struct VerificationRecord {
  let candidate: Model
  let original: Model
  let texts: TextSelection
  let workers: Int
  /// Of how many shares it was put together; nil for one run.
  let shares: Int?
  /// Which of the candidate's weights are multiplied with rounded activations; nil where none are.
  let fast: FastWeights?
  /// What was called; nil when a program did it.
  let command: String?

  /// Figures, models and run in one object.
  func json(
    _ report: VerificationReport, _ tokenizer: Tokenizer, violations: [String], plan: JSON? = nil
  ) throws(FormatError) -> JSON {
    guard case .object(var object) = report.json(text: { tokenizer.decode($0) }) else { return .null }
    object["violations"] = .array(violations.map { .string($0) })
    object["plan"] = plan
    var fields = candidate.record
    fields["parts"] = candidate.byteRecord
    // By the original's numbers, as the drift of the router.
    fields["expertBits"] = candidate.expertBits(dropped: report.dropped)
    object["candidate"] = .object(fields)
    object["original"] = .object(original.record)
    var run: JSONObject = [
      "tool": .string(Tool.name), "command": command.map { .string($0) } ?? .null,
      "context": JSON(texts.context), "chunks": texts.chunks.map { JSON($0) } ?? .null,
      "threads": JSON(workers), "isa": .string(InstructionSet.best.rawValue),
      "fast": fast?.json ?? .null,
      "files": .array(try files),
    ]
    if let shares { run["shares"] = JSON(shares) }
    object["run"] = .object(run)
    return .object(object)
  }

  /// The files that decide the figures. Hashes are of texts, and of the source's files as the candidate has them on record.
  private var files: [JSON] {
    get throws(FormatError) {
      var files: [JSON] = []
      for (of, model) in [("candidate", candidate), ("original", original)] {
        for path in model.weightFiles {
          files.append([
            "name": .string(Folder.name(of: path)), "of": .string(of),
            "bytes": JSON(try File(reading: path).size()), "hash": .null,
          ])
        }
      }
      for file in candidate.provenance?["source"]?["files"]?.array ?? [] {
        files.append([
          "name": file["name"] ?? .null, "of": "the candidate's source, by its record",
          "bytes": file["bytes"] ?? .null,
          "hash": file["sha256"]?.string.map { .string("sha256:" + $0) } ?? .null,
        ])
      }
      for text in texts.shipped {
        files.append([
          "name": .string(text.name), "of": "text", "bytes": JSON(text.bytes.count),
          "hash": .string("xxh3:" + hexDigits(XXH3.hash(Bytes(text.bytes).span))),
        ])
      }
      for path in texts.paths {
        let bytes = try Bytes.mapping(path)
        files.append([
          "name": .string(Folder.name(of: path)), "of": "text", "bytes": JSON(bytes.count),
          "hash": .string("xxh3:" + hexDigits(XXH3.hash(bytes.span))),
        ])
      }
      return files
    }
  }
}
