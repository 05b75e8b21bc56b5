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
  /// What was predicted, on text of which the original is as unsure as of what was verified on.
  package let interval: Prediction.Interval?
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
      : "\(lacks?.count ?? 0) experts per layer left out, planned were \(plan.dropped?.count ?? 0)"
        + (lacks?.count == plan.dropped?.count ? ", others" : "")
    different = candidate.tensors.compactMap { tensor in
      let wanted = plan.assignments[tensor.role]
      return wanted?.quantizer == nil || wanted?.encoding == tensor.encoding ? nil : tensor.role
    }
    bytes = try candidate.fileBytes()
    divergence = report.divergence.mean
    interval = predicted.divergence?.scaled(to: report.uncertainty)
  }

  private var isInInterval: Bool? { interval.map { $0.low...$0.high ~= divergence.value } }

  /// Whether it is what text of another kind than that which was measured may have.
  private var isInOtherInterval: Bool? {
    interval?.other.map { $0.low...$0.high ~= divergence.value }
  }

  /// What is outside of what was predicted, one line each.
  package var violations: [String] {
    var lines: [String] = []
    if bytes != predicted.bytes {
      lines.append("\(grouped(bytes)) bytes, planned were \(grouped(predicted.bytes))")
    }
    // Whether a text is of a kind that was measured cannot be told.
    if let interval {
      let high = max(interval.high, interval.other?.high ?? 0)
      if divergence.value > high {
        lines.append(
          "mean KL divergence \(significant(divergence.value)) is above the predicted interval, which ends at "
            + significant(high) + (interval.other == nil ? "" : " for text of any kind"))
      }
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
        "predicted": interval.map { JSON($0.mean) } ?? .null,
        "low": interval.map { JSON($0.low) } ?? .null,
        "high": interval.map { JSON($0.high) } ?? .null,
        "otherText": interval?.other.map {
          ["predicted": JSON($0.mean), "low": JSON($0.low), "high": JSON($0.high)]
        } ?? .null,
        "planned": predicted.divergence.map { JSON($0.mean) } ?? .null,
        "found": JSON(divergence.value),
        "standardError": divergence.standardError.map { JSON($0) } ?? .null,
      ],
      "inInterval": isInInterval.map { .bool($0) } ?? .null,
      "inIntervalOfOtherText": isInOtherInterval.map { .bool($0) } ?? .null,
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
