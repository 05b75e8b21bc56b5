import IngotKernels
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// What a run has finished of an output, in a file beside its unfinished form, so that the same command goes on after
/// any end: a signal, a fault, a loss of power.
///
/// A line is XXH3-64 of a JSON text, the text, and a line feed. The first says what decides the output's bytes: a run
/// with other options or another source is refused. Then come records, each added when what it tells of has been
/// written, and marks: what stands before a mark is on the disk. Of records behind the last mark those hold that were
/// written since this system's last start, since what they tell of is in its memory at least; the others are forgotten.
/// So a killed run loses nothing that it has recorded, a loss of power what came since the last mark.
///
/// A run owns the output from `init` until `end` or `leave`: another one is refused.
public final class Journal: Sendable {
  public static let suffix = ".journal"
  /// What is written is made durable this often.
  private static let interval: Duration = .seconds(5)

  public let path: String
  /// What the earlier run recorded, in the order it did; empty when there was none.
  public let records: [JSON]

  private struct State {
    var position: Int
    /// Bytes up to the last mark or the first record.
    var marked: Int
    var lastMark = ContinuousClock.now
    var isMarking = false
    /// Whether a mark has failed: what is recorded from then on may tell of bytes that are lost.
    var isVoid = false
  }
  private let file: File
  private let owner: Owner
  private let state: Mutex<State>

  /// Begins a journal, or continues the one that is there.
  ///
  /// - Parameters:
  ///   - path: the output's unfinished form, a file or folder; the journal stands beside it.
  ///   - identity: what decides the output's bytes. Two of them are compared member by member.
  ///   - discard: begin anew when there is a journal of another identity.
  ///   - takeOver: the user's word that a run on another host, which may be at work on the output, has ended.
  ///   - reserve: bytes to keep free on the disk for records, about.
  ///   - isUsable: whether the unfinished output is there as the records tell; otherwise they are forgotten.
  /// - Throws: FormatError when another run is at work, or naming what differs, or for what the system says.
  public init(
    beside path: String, identity: JSONObject, discard: Bool = false, takeOver: Bool = false,
    reserve: Int = 0,
    isUsable: ([JSON]) -> Bool = { _ in true }
  ) throws(FormatError) {
    self.path = path + Journal.suffix
    owner = try Owner(of: path, takeOver: takeOver)
    do throws(FormatError) {
      var kept: (marked: [JSON], others: [JSON]) = ([], [])
      if Folder.exists(self.path) {
        do throws(FormatError) {
          let content = try Journal.read(self.path)
          try Journal.require(content.identity, identity, self.path)
          kept = (content.marked, content.others)
        } catch {
          guard discard else { throw error }
        }
      }
      if !isUsable(kept.marked + kept.others) { kept = ([], []) }
      records = kept.marked + kept.others
      // Written anew, so that nothing unreadable stands in it.
      let temporary = self.path + ".new"
      Folder.remove(temporary)
      file = try File(creating: temporary)
      var text = Journal.line(["journal": 1, "identity": .object(identity)])
      for record in kept.marked { text += Journal.line(["done": record]) }
      text += Journal.line(["marked": .string(Owner.boot)])
      let marked = text.count
      for record in kept.others { text += Journal.line(["done": record]) }
      try file.preallocate(text.count + reserve)
      try file.write(text, at: 0)
      try file.synchronize()
      try Folder.rename(temporary, to: self.path)
      state = Mutex(State(position: text.count, marked: marked))
    } catch {
      Folder.remove(self.path + ".new")
      owner.release()
      throw error
    }
  }

  /// Whether an earlier run has recorded anything.
  public var isContinued: Bool { !records.isEmpty }

  /// Records something that is finished: its bytes were written before.
  public func add(_ record: JSON) throws(FormatError) { try append(["done": record]) }

  /// Makes what was recorded so far durable when that has not been done for some seconds. `files` are those that the
  /// records tell of. May be called from any task: one at a time does it, the others go on.
  public func synchronizeIfDue(_ files: [File]) throws(FormatError) {
    let isDue = state.withLock { state in
      guard !state.isMarking, ContinuousClock.now - state.lastMark > Journal.interval else { return false }
      state.isMarking = true
      return true
    }
    guard isDue else { return }
    defer { state.withLock { $0.isMarking = false } }
    try synchronize(files)
  }

  /// Makes what was recorded so far durable.
  ///
  /// - Throws: FormatError when the system cannot: then what was recorded since the last time does not count any more.
  public func synchronize(_ files: [File]) throws(FormatError) {
    // Others may add records meanwhile; the mark is for those that stand before this place.
    let end = state.withLock { $0.position }
    do throws(FormatError) {
      for file in files { try file.synchronize() }
    } catch {
      // What a failed fsync was about may be lost although it can still be read.
      forget()
      throw error
    }
    try append(["marked": .string(Owner.boot), "bytes": JSON(end)])
    try file.synchronize()
    state.withLock { state in
      state.marked = max(state.marked, end)
      state.lastMark = .now
    }
  }

  /// The output has its name: takes journal and ownership away.
  public func end() {
    Folder.remove(path)
    owner.release()
  }

  /// The run ends before the output is finished: the next may go on.
  public func leave() { owner.release() }

  private func append(_ line: JSON) throws(FormatError) {
    let line = Journal.line(line)
    let result = state.withLock { state -> Result<Void, FormatError> in
      if state.isVoid { return .success(()) }
      do throws(FormatError) {
        try file.write(line, at: state.position)
      } catch {
        return .failure(error)
      }
      state.position += line.count
      return .success(())
    }
    try result.get()
  }

  /// Voids what stands behind the last mark.
  private func forget() {
    let failed = state.withLock { state in
      let void = Journal.line(["void": JSON(state.marked)])
      let written: Void? = try? file.write(void, at: state.position)
      state.position += void.count
      state.isVoid = true
      return written == nil
    }
    if failed { Folder.remove(path) }
  }

  // MARK: Form

  private static func line(_ value: JSON) -> [UInt8] {
    let text = Array(value.text().utf8)
    return Array((hexDigits(XXH3.hash(Bytes(text).span)) + " ").utf8) + text + [0x0A]
  }

  /// What stands in a journal: records before the last mark, and those behind it that hold.
  private static func read(_ path: String) throws(FormatError) -> (
    identity: JSONObject, marked: [JSON], others: [JSON]
  ) {
    let file = try File(reading: path)
    let bytes = try file.read(file.size(), at: 0).array
    var identity: JSONObject?
    var found: [(end: Int, record: JSON)] = []
    var marked = 0
    var boot = ""
    var start = 0
    while let end = bytes[start...].firstIndex(of: 0x0A), let line = parse(bytes[start..<end], path) {
      if identity == nil {
        guard line["journal"]?.int == 1, let known = line["identity"]?.object else { break }
        identity = known
      } else if let record = line["done"] {
        found.append((end + 1, record))
      } else if let mark = line["marked"]?.string {
        marked = max(marked, line["bytes"]?.int ?? start)
        boot = mark
      } else if let place = line["void"]?.int {
        found.removeAll { $0.end > place }
      }
      start = end + 1
    }
    guard let identity else {
      throw FormatError(
        path: path, expected: "a journal of this version",
        found: "something else", remedy: .discard)
    }
    let isSame = boot == Owner.boot && boot != "unknown"
    return (
      identity, found.filter { $0.end <= marked }.map(\.record),
      isSame ? found.filter { $0.end > marked }.map(\.record) : []
    )
  }

  private static func parse(_ line: ArraySlice<UInt8>, _ path: String) -> JSON? {
    guard line.count > 17 else { return nil }
    let text = Array(line.dropFirst(17))
    guard hexDigits(XXH3.hash(Bytes(text).span)) + " " == String(decoding: line.prefix(17), as: UTF8.self)
    else { return nil }
    return try? JSON.parse(text, path: path)
  }

  private static func require(_ old: JSONObject, _ new: JSONObject, _ path: String) throws(FormatError) {
    guard let (key, was, now) = difference(.object(old), .object(new), "") else { return }
    throw FormatError(
      path: path,
      expected: "\(key) \(was), as the unfinished output was begun with", found: now,
      remedy: .discard)
  }

  /// The first member that differs: its path, what it was, what it is.
  private static func difference(_ old: JSON, _ new: JSON, _ key: String) -> (String, String, String)? {
    if let old = old.object, let new = new.object {
      for name in old.keys + new.keys.filter({ old[$0] == nil }) {
        let next = key.isEmpty ? name : "\(key).\(name)"
        if let found = difference(old[name] ?? .null, new[name] ?? .null, next) { return found }
      }
      return nil
    }
    if let old = old.array, let new = new.array, old.count == new.count {
      for (index, pair) in zip(old, new).enumerated() {
        if let found = difference(pair.0, pair.1, "\(key)[\(index)]") { return found }
      }
      return nil
    }
    if old.text() == new.text() { return nil }
    // Of texts of several lines, the first that differs.
    if let old = old.string, let new = new.string, (old + new).contains("\n") {
      let lines = (old.split(separator: "\n"), new.split(separator: "\n"))
      for index in 0..<max(lines.0.count, lines.1.count) {
        let was = index < lines.0.count ? lines.0[index] : "(nothing)"
        let now = index < lines.1.count ? lines.1[index] : "(nothing)"
        if was != now { return ("\(key), line \(index + 1),", "'\(was)'", "'\(now)'") }
      }
    }
    return (key, old.text(), new.text())
  }
}
