import IngotFormats

extension Written {
  /// What is printed of tensors that the format has no place for, and of those that it rounds.
  var changes: [String] {
    [
      ("left out, as the format has no place for them and the forward pass does not use them: ", leftOut),
      ("rounded, as the format keeps their values otherwise ('verify' measures what that costs): ", rounded),
    ].filter { !$0.1.isEmpty }.map { $0 + ($1.count == 1 ? $1[0] : "\($1.count) tensors, such as \($1[0])") }
  }
}
