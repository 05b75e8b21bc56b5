import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Standard error: messages, and progress where a person watches.
enum Terminal {
  static func error(_ text: String) {
    var line = Array((text + "\n").utf8)[...]
    while !line.isEmpty {
      let written = unsafe line.withUnsafeBytes { unsafe write(2, $0.baseAddress, $0.count) }
      guard written > 0 else { return }
      line = line.dropFirst(written)
    }
  }

  static var isWatched: Bool { isatty(2) == 1 }
}

/// Shows how far a run is, at what rate, and how long it will take: one line on a terminal, nothing elsewhere.
final class Progress: Sendable {
  private let what: String
  private let total: Atomic<Int>
  private let unit: Unit
  private let done = Atomic<Int>(0)
  private let begin = ContinuousClock.now
  private let ticker: Task<Void, Never>?

  enum Unit: Sendable {
    case bytes
    case steps(String)
  }

  init(_ what: String, total: Int, unit: Unit = .bytes) {
    self.what = what
    self.total = Atomic(total)
    self.unit = unit
    guard Terminal.isWatched else {
      ticker = nil
      return
    }
    let box = Box()
    ticker = Task.detached {
      while !Task.isCancelled {
        box.progress?.show()
        try? await Task.sleep(for: .milliseconds(250))
      }
    }
    box.progress = self
  }

  /// Lets the ticker see a progress that is still being made.
  private final class Box: @unchecked Sendable { weak var progress: Progress? }

  var seconds: Double {
    let parts = (ContinuousClock.now - begin).components
    return Double(parts.seconds) + Double(parts.attoseconds) / 1e18
  }

  func add(_ amount: Int) { done.add(amount, ordering: .relaxed) }

  func set(_ amount: Int, of total: Int) {
    self.total.store(total, ordering: .relaxed)
    done.store(amount, ordering: .relaxed)
  }

  private func show() {
    let done = done.load(ordering: .relaxed)
    let total = total.load(ordering: .relaxed)
    let seconds = seconds
    let percent = total > 0 ? min(100, done * 100 / total) : 100
    var line = "\(what)  \(percent) %"
    if done > 0 && seconds > 0.5 {
      let rate = Double(done) / seconds
      switch unit {
      case .bytes: line += "  \(decimal(Int(rate)))/s"
      case .steps(let name): line += "  \(fixed(rate, 1)) \(name)/s"
      }
      line += "  \(duration(Double(max(total - done, 0)) / rate)) left"
    }
    Terminal.replaceLine(line)
  }

  func finish() {
    ticker?.cancel()
    if ticker != nil { Terminal.replaceLine("") }
  }
}

extension Terminal {
  fileprivate static func replaceLine(_ text: String) {
    let bytes = Array("\r\u{1B}[K\(text)".utf8)
    unsafe bytes.withUnsafeBytes { unsafe _ = write(2, $0.baseAddress, $0.count) }
  }
}

/// Bytes in decimal units with three digits: `138 GB`.
func decimal(_ bytes: Int) -> String {
  var value = Double(bytes)
  for unit in ["B", "kB", "MB", "GB", "TB"] {
    if value < 999.5 || unit == "TB" {
      return (value < 99.95 && unit != "B" ? fixed(value, value < 9.995 ? 2 : 1) : fixed(value, 0)) + " "
        + unit
    }
    value /= 1000
  }
  return "\(bytes) B"
}

/// A number with a fixed count of decimals.
func fixed(_ value: Double, _ decimals: Int) -> String {
  guard value.isFinite, abs(value) < 1e15 else { return "\(value)" }
  var scale = 1.0
  for _ in 0..<decimals { scale *= 10 }
  let rounded = Int((abs(value) * scale).rounded())
  let sign = value < 0 && rounded != 0 ? "-" : ""
  guard decimals > 0 else { return sign + String(rounded) }
  let fraction = String(rounded % Int(scale))
  return sign + "\(rounded / Int(scale))." + String(repeating: "0", count: decimals - fraction.count)
    + fraction
}

/// A span of time: `0.4 s`, `7 s`, `3 min 20 s`, `2 h 5 min`.
func duration(_ seconds: Double) -> String {
  guard seconds.isFinite, seconds < 1e7 else { return "long" }
  if seconds < 9.95 { return "\(fixed(seconds, 1)) s" }
  let whole = Int(seconds.rounded())
  if whole < 60 { return "\(whole) s" }
  if whole < 3600 { return "\(whole / 60) min \(whole % 60) s" }
  return "\(whole / 3600) h \(whole % 3600 / 60) min"
}
