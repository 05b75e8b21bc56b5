import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// SIGINT and SIGTERM for runs that can be continued: the first asks to stop at the end of a unit, the second ends the
/// command at once.
enum Interrupt {
  private static let requested = Atomic<Bool>(false)

  /// Whether the run is to stop where it can be continued.
  @Sendable static func isRequested() -> Bool { requested.load(ordering: .relaxed) }

  /// From here on the first signal only asks, and a mapped file that cannot be read any more ends the command with a
  /// word about it.
  static func handle() {
    // The flag is there before a signal needs it.
    _ = isRequested()
    for number in [SIGINT, SIGTERM] { _ = signal(number, asked) }
    _ = signal(SIGBUS, faulted)
  }

  /// The same for a server, which says so in other words.
  static func handleServing() {
    handle()
    for number in [SIGINT, SIGTERM] { _ = signal(number, askedToEnd) }
    // A client that has gone is seen where its answer is written.
    _ = signal(SIGPIPE, SIG_IGN)
  }

  // Only what a signal's handler may call: an atomic store, signal, write, _exit.

  private static let asked: @convention(c) (Int32) -> Void = { number in
    requested.store(true, ordering: .relaxed)
    _ = signal(number, SIG_DFL)
    say("stopping at the end of the units under way; a second signal ends at once\n")
  }

  private static let askedToEnd: @convention(c) (Int32) -> Void = { number in
    requested.store(true, ordering: .relaxed)
    _ = signal(number, SIG_DFL)
    say("finishing the answers under way; a second signal ends at once\n")
  }

  private static let faulted: @convention(c) (Int32) -> Void = { _ in
    say(
      """
      error: a mapped file cannot be read any more: a fault of its disk, or it was cut short
      interrupted; run the same command again to resume

      """)
    _exit(75)
  }

  private static func say(_ text: StaticString) {
    unsafe _ = write(2, text.utf8Start, text.utf8CodeUnitCount)
  }
}
