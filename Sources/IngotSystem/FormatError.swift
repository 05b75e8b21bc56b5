/// What is wrong with a file: where, what was needed, what stands there.
///
/// Every reader throws this type and nothing else, so a command can print one line (`description`)
/// or one JSON object (the fields) for any fault in any format.
public struct FormatError: Error, Hashable, Sendable, CustomStringConvertible {
  /// Path of the file as the user gave it or as it was found.
  public var path: String
  /// Name of the tensor (or other entry) concerned, as it stands in the file.
  public var tensor: String?
  /// Position in the file, in bytes from its start.
  public var offset: UInt64?
  /// What the format, the config or the file system asks for.
  public var expected: String
  /// What was there instead.
  public var found: String
  /// What it comes from, which decides whether the same command may get further later.
  public var cause = Cause.content
  /// Whether what was done so far is kept, and the same command goes on from there.
  public var isResumable = false
  /// What would let the same request succeed; callers say it in their own words.
  public var remedy: Remedy?

  public enum Remedy: String, Hashable, Sendable {
    /// Allow that what is there is replaced.
    case replace
    /// Allow that the unfinished output is discarded.
    case discard
    /// Take an unfinished output over from another host whose run has ended.
    case takeOver
    /// Copy tensors that the family does not know.
    case keepUnknown
    /// Replace NaN and infinities by 0.
    case allowNonfinite
    /// Decode to dense values, which rounds.
    case decode
    /// Quantize by a recipe that is made for the format.
    case quantize
    /// Collect calibration statistics first.
    case calibrate
    /// Give the chat template that the model lacks.
    case giveTemplate
    /// Give a file of the kind that is expected.
    case otherFile
    /// Measure the encodings that are asked for.
    case measure
    /// Predict the plan anew, from a sensitivity file.
    case predict
    /// Name the model that the artifact was made from.
    case nameOriginal
  }

  public enum Cause: Hashable, Sendable {
    /// What a file holds, or what was asked for.
    case content
    /// The system refused something, with this code of errno: a full disk, a fault of reading.
    case system(Int32)
    /// Another machine could not be reached, or did not answer as it should.
    case network
    /// The run was told to stop.
    case stopped
  }

  public init(
    path: String, tensor: String? = nil, offset: UInt64? = nil, expected: String, found: String,
    remedy: Remedy? = nil
  ) {
    self.path = path
    self.tensor = tensor
    self.offset = offset
    self.expected = expected
    self.found = found
    self.remedy = remedy
  }

  /// `FILE: tensor 'NAME': byte N: expected E, found F`, parts that are unknown left out.
  public var description: String {
    var text = printable(path)
    if let tensor { text += ": tensor '\(printable(tensor))'" }
    if let offset { text += ": byte \(offset)" }
    return text + ": expected \(printable(expected)), found \(printable(found))"
  }
}

/// `text` with control characters (C0, DEL, C1, bidirectional overrides) written as `\u{…}`, so that a
/// name out of a file cannot drive the terminal it is shown on; cut at `limit` characters.
public func printable(_ text: String, limit: Int = 400) -> String {
  var out = ""
  var count = 0
  for scalar in text.unicodeScalars {
    if count == limit {
      out += "…"
      break
    }
    count += 1
    switch scalar.value {
    case 0..<0x20, 0x7F..<0xA0, 0x200E, 0x200F, 0x202A...0x202E, 0x2028, 0x2029, 0x2066...0x2069:
      out += "\\u{\(String(scalar.value, radix: 16))}"
    default: out.unicodeScalars.append(scalar)
    }
  }
  return out
}

/// `value` as 16 hexadecimal digits.
public func hexDigits(_ value: UInt64) -> String {
  let digits = String(value, radix: 16)
  return String(repeating: "0", count: 16 - digits.count) + digits
}
