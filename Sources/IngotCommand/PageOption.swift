import ArgumentParser
import IngotFormats
import IngotSystem
import IngotTensors
import IngotWorkflows

/// A report as a page.
struct PageOption: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp("Also write the report as a self-contained HTML page.", valueName: "file"),
    completion: .html)
  var html: String?

  func writer(force: Bool, inputs: InputFiles) -> PageWriter {
    PageWriter(path: html, force: force, inputs: inputs)
  }
}

/// Where a page goes; nowhere without a path.
struct PageWriter {
  let path: String?
  /// Replace what stands there.
  let force: Bool
  /// What is read, and must not be replaced by it.
  let inputs: InputFiles

  /// Refuses a path that cannot be written, before the work.
  func check() throws {
    guard let path else { return }
    try inputs.requireApart(path)
    try OutputKind.page.requireName(path, .html)
    try WholeFile.check(path, force: force, inputs: inputs)
  }

  /// Writes the page that `make` gives, when one was asked for.
  func write(_ make: () throws(FormatError) -> String) throws(FormatError) {
    guard let path else { return }
    try WholeFile.write(Array(try make().utf8), to: path, force: force, inputs: inputs)
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
