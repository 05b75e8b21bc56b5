import ArgumentParser
import Foundation
import IngotFormats

/// The share of a run's work that a machine does.
struct ShareOptions: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp(
      "Make the i-th of n shares, a file in the folder --output, for 'ingot assemble'; "
        + "auto (or auto/n): by SLURM_ARRAY_TASK_ID or JOB_COMPLETION_INDEX.", valueName: "i/n"),
    completion: .list(["auto"]))
  var shard: String?

  /// - Throws: ValidationError for what is no share.
  func share(_ environment: [String: String] = ProcessInfo.processInfo.environment) throws -> Share? {
    guard let shard else { return nil }
    guard shard == "auto" || shard.hasPrefix("auto/") else {
      guard let share = Share(shard) else {
        throw ValidationError("--shard must be i/n with i from 1 to n, such as 3/8, or auto; not '\(shard)'.")
      }
      return share
    }
    func number(_ name: String) -> Int? { environment[name].flatMap { Int($0) } }
    let given = shard.hasPrefix("auto/") ? Int(shard.dropFirst(5)) : nil
    if shard != "auto", given == nil {
      throw ValidationError("--shard auto/n wants a number, not '\(shard)'.")
    }
    let place: (index: Int, count: Int?)
    if let task = number("SLURM_ARRAY_TASK_ID") {
      let first = number("SLURM_ARRAY_TASK_MIN") ?? 0
      place = (task - first, given ?? number("SLURM_ARRAY_TASK_COUNT"))
    } else if let index = number("JOB_COMPLETION_INDEX") {
      place = (index, given)
    } else {
      throw ValidationError(
        "--shard auto needs SLURM_ARRAY_TASK_ID (Slurm) or JOB_COMPLETION_INDEX (Kubernetes) in the environment."
      )
    }
    guard let count = place.count else {
      throw ValidationError("--shard auto does not know how many shares there are; give --shard auto/n.")
    }
    guard let share = Share(index: place.index, count: count) else {
      throw ValidationError(
        "--shard \(shard): task \(place.index) (from 0) of \(count) shares is none of them.")
    }
    return share
  }
}

/// The arguments of a command that makes a share, without those that say where and how fast.
enum SharedArguments {
  private static let dropped: Set<String> = ["--shard", "-o", "--output", "--threads", "--memory"]
  private static let flags: Set<String> = ["--force", "--take-over", "--json"]

  static func of(_ arguments: [String]) -> [String] {
    var kept: [String] = []
    var skips = false
    for argument in arguments {
      if skips {
        skips = false
      } else if dropped.contains(argument) {
        skips = true
      } else if !flags.contains(argument), !dropped.contains(where: { argument.hasPrefix($0 + "=") }) {
        kept.append(argument)
      }
    }
    return kept
  }
}
