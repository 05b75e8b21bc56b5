import IngotFormats

extension Written {
  /// What is printed of tensors that the format has no place for; nil where there are none.
  var leftOutLine: String? {
    guard let first = leftOut.first else { return nil }
    return "left out, as the format has no place for them and the forward pass does not use them: "
      + (leftOut.count == 1 ? first : "\(leftOut.count) tensors, such as \(first)")
  }
}
