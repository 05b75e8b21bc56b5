import ArgumentParser
import Formats
import Tensors

/// A report as a page.
struct PageOptions: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp("Also write the report as a page that needs no network.", valueName: "file"))
  var html: String?

  @Flag(name: .long, help: "Replace what stands at the path of --html.")
  var force = false

  func validate() throws {
    if force, html == nil { throw ValidationError("--force is for --html here.") }
  }

  /// Refuses a path that cannot be written, before the work.
  func check() throws(FormatError) {
    if let html { try WholeFile.check(html, force: force) }
  }

  /// Writes the page that `make` gives, when one was asked for.
  func write(_ make: () -> String) throws(FormatError) {
    guard let html else { return }
    try WholeFile.write(Array(make().utf8), to: html, force: force)
  }
}

/// What was called, as a shell would take it.
var calledCommand: String {
  let plain = Set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./=:,+@%")
  let words = CommandLine.arguments.dropFirst().map { word in
    !word.isEmpty && word.allSatisfy(plain.contains)
      ? word : "'" + word.replacing("'", with: "'\\''") + "'"
  }
  return (["ingot"] + words).joined(separator: " ")
}
