import ArgumentParser
import IngotFormats
import IngotModels
import IngotSystem
import IngotTensors

struct Check: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Check a model's files for corruption, byte by byte.",
    discussion: """
      In every format: the structure, and that all values are finite. In checkpoints and GGUF, runs of \
      zeros that a broken download leaves (a tensor that is all zero is a warning). In .ingot also the checksums of \
      header, directory, every plane of every tensor and side files, and that padding is zero.
      Exit code 1 when something is wrong.
      """)

  @Argument(
    help: "Folder, .safetensors, .gguf or .ingot file, or name on the HF Hub.", completion: .path)
  var model: String

  @OptionGroup var hub: HubOptions
  @OptionGroup var work: WorkerOptions
  @OptionGroup var json: JSONOption

  func run() async throws {
    let progress = Progress(
      "check", total: Folder.kind(model) == .file ? (try? File(reading: model).size()) ?? 0 : 0)
    let report = await Format.check(model, workers: work.workers) { progress.add($0) }
    progress.finish()
    for warning in report.warnings { Terminal.error("warning: \(warning)") }
    if json.json {
      let result: JSON = [
        "ok": .bool(report.problems.isEmpty), "tensors": JSON(report.tensors), "bytes": JSON(report.bytes),
        "problems": .array(
          report.problems.map {
            [
              "path": .string($0.path), "tensor": JSON($0.tensor),
              "offset": $0.offset.map { JSON(Int(clamping: $0)) } ?? .null, "what": .string($0.what),
            ]
          }), "warnings": .array(report.warnings.map { .string($0) }),
      ]
      print(result.text(indented: true))
    } else if report.problems.isEmpty {
      print("ok: \(grouped(report.tensors)) tensors, \(grouped(report.bytes)) bytes checked")
    } else {
      for problem in report.problems {
        let tensor = problem.tensor.map { " tensor '\(printable($0))':" } ?? ""
        let place = problem.offset.map { " byte \($0):" } ?? ""
        print("\(printable(problem.path)):\(tensor)\(place) \(printable(problem.what))")
      }
      print("\(report.problems.count) fault\(report.problems.count == 1 ? "" : "s")")
    }
    if !report.problems.isEmpty { throw ExitCode(1) }
  }
}
