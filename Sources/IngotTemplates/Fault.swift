/// Why a template cannot be read or rendered. `ChatTemplate` makes a `FormatError` of it, with path and line.
struct Fault: Error {
  var expected: String
  var found: String
  /// The line of the template that is at fault, where it is known already.
  var line: Int?

  init(expected: String, found: String, line: Int? = nil) {
    self.expected = expected
    self.found = found
    self.line = line
  }
}
