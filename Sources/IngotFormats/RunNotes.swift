import IngotSystem
import Synchronization

/// What a run finds out about units of work while it makes them, and a run that resumes must know of those that are made
/// already: kept in the journal beside them.
///
/// A note may be recalled more than once, when a run ended between the note and its unit: it has to say what it is about.
public final class RunNotes: Sendable {
  private let pending = Mutex<[JSON]>([])
  private let noted = Mutex<[JSON]>([])
  private let recalled: @Sendable (JSON) -> Void

  /// All that was noted, by earlier runs too.
  var all: [JSON] { noted.withLock { $0 } }

  /// - Parameter recall: gets the notes of an earlier run before anything is made.
  public init(recall: @escaping @Sendable (JSON) -> Void) { recalled = recall }

  func recall(_ note: JSON) {
    noted.withLock { $0.append(note) }
    recalled(note)
  }

  /// Keeps a note with the next unit that is finished. From any task.
  public func add(_ note: JSON) {
    noted.withLock { $0.append(note) }
    pending.withLock { $0.append(note) }
  }

  /// Records what has been noted. All callers wait until it is recorded, so that no unit stands in the journal before what was
  /// noted of it.
  func record(in journal: Journal) throws(FormatError) {
    try pending.withLock { notes throws(FormatError) in
      for note in notes { try journal.add(["note": note]) }
      notes = []
    }
  }
}
