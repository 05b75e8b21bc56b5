import IngotWorkflows

/// How something long runs. None of it changes a result.
public struct RunOptions: Sendable {
  /// Threads that compute; nil for one a core.
  public var threads: Int?
  /// Called from any task with the bytes done and the bytes in all.
  public var progress: @Sendable (_ done: Int, _ total: Int) -> Void = { _, _ in }
  /// Called with warnings: what the caller should know although nothing stops.
  public var warning: @Sendable (String) -> Void = { _ in }
  /// Asked after each unit of work; a run that stops throws a resumable error.
  public var shouldStop: @Sendable () -> Bool = { false }

  public init() {}

  var control: RunControl {
    var control = RunControl()
    if let threads { control.workers = max(1, threads) }
    (control.progress, control.warning, control.shouldStop) = (progress, warning, shouldStop)
    return control
  }
}
