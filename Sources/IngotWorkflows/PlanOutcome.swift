import IngotFormats
import IngotInference
import IngotModels
import IngotPlanning
import IngotQuantization
import IngotSystem
import IngotTensors

/// What a plan said of an artifact, beside what it became.
package struct PlanOutcome {
  package let file: PlanFile
  package let predicted: PlanFile.Predicted
  /// Of the artifact's files.
  package let bytes: Int
  package let divergence: Estimate
  /// Tensors whose encoding is another than the plan's.
  private let different: [Role]
  /// Experts that the artifact lacks, where these are not those that the plan drops.
  private let droppedOtherwise: String?

  /// A plan that has something to be compared with.
  ///
  /// - Throws: FormatError for a plan that does not fit the original, or one that has no prediction of its tensors.
  static func read(_ path: String, for original: Model) throws(FormatError) -> (
    PlanFile, Plan, PlanFile.Predicted
  ) {
    let file = try WrittenFile.plan(path)
    let plan = try file.plan(for: original, path: path)
    guard let predicted = file.predicted, file.isAsPredicted else {
      throw FormatError(
        path: path,
        expected: "a prediction of these tensors (after an edit the plan has to be predicted anew)",
        found: file.predicted == nil ? "none" : "one of other tensors", remedy: .predict)
    }
    return (file, plan, predicted)
  }

  init(
    _ read: (file: PlanFile, plan: Plan, predicted: PlanFile.Predicted), candidate: Model,
    _ report: VerificationReport
  ) throws(FormatError) {
    let (file, plan, predicted) = read
    self.file = file
    self.predicted = predicted
    let lacks = try candidate.droppedExperts()
    droppedOtherwise =
      lacks?.layers ?? [] == plan.dropped?.layers ?? []
      ? nil
      : "\(lacks?.count ?? 0) experts a layer left out, planned were \(plan.dropped?.count ?? 0)"
        + (lacks?.count == plan.dropped?.count ? ", others" : "")
    different = candidate.tensors.compactMap { tensor in
      let wanted = plan.assignments[tensor.role]
      return wanted?.quantizer == nil || wanted?.encoding == tensor.encoding ? nil : tensor.role
    }
    bytes = try candidate.fileBytes()
    divergence = report.divergence.mean
  }

  private var isInInterval: Bool? {
    predicted.divergence.map { $0.low...$0.high ~= divergence.value }
  }

  /// What is outside of what was predicted, one line each.
  package var violations: [String] {
    var lines: [String] = []
    if bytes != predicted.bytes {
      lines.append("\(grouped(bytes)) bytes, planned were \(grouped(predicted.bytes))")
    }
    if let interval = predicted.divergence, divergence.value > interval.high {
      lines.append(
        "mean KL divergence \(significant(divergence.value)) is above the predicted interval, which ends at "
          + significant(interval.high))
    }
    if let droppedOtherwise { lines.append(droppedOtherwise) }
    if let first = different.first {
      lines.append("\(grouped(different.count)) tensors are not in the plan's encoding, such as \(first)")
    }
    return lines
  }

  package var json: JSON {
    [
      "plan": .string(file.name), "bytes": ["predicted": JSON(predicted.bytes), "found": JSON(bytes)],
      "klDivergence": [
        "predicted": predicted.divergence.map { JSON($0.mean) } ?? .null,
        "low": predicted.divergence.map { JSON($0.low) } ?? .null,
        "high": predicted.divergence.map { JSON($0.high) } ?? .null, "found": JSON(divergence.value),
        "standardError": divergence.standardError.map { JSON($0) } ?? .null,
      ],
      "inInterval": isInInterval.map { .bool($0) } ?? .null,
      "otherEncodings": JSON(different.count),
    ]
  }
}

extension Model {
  /// Bytes of the files it was read from: of a folder all that stand in it, of other formats the weight files.
  fileprivate func fileBytes() throws(FormatError) -> Int {
    var paths = weightFiles
    if Folder.kind(path) == .folder {
      paths = try Folder.names(path).filter { !$0.hasPrefix(".") }.map { "\(path)/\($0)" }
        .filter { Folder.kind($0) == .file }
    }
    var bytes = 0
    for path in paths { bytes += try File(reading: path).size() }
    return bytes
  }
}
