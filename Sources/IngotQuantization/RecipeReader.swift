import IngotModels
import IngotSystem
import IngotTensors
import Yams

extension Recipe {
  /// Largest recipe, in bytes, and its most rules.
  static let sizeLimit = 1 << 20
  static let ruleLimit = 10_000

  /// Reads a recipe from YAML text.
  ///
  /// - Throws: FormatError naming the line, expected and found.
  public init(yaml text: String, path: String) throws(FormatError) {
    guard text.utf8.count <= Recipe.sizeLimit else {
      throw FormatError(
        path: path, expected: "a recipe of at most \(Recipe.sizeLimit) bytes", found: "\(text.utf8.count)")
    }
    try requireNoAnchors(text, path: path)
    let root: Node?
    do {
      root = try Yams.compose(yaml: text)
    } catch {
      throw FormatError(path: path, expected: "YAML", found: "\(error)")
    }
    guard let root, let mapping = root.mapping else {
      throw FormatError(path: path, expected: "a mapping with 'rules'", found: "none")
    }
    let reader = RecipeReader(path: path)
    try reader.requireKeys(mapping, ["name", "summary", "format", "fallback", "rules"], root)
    name = try reader.text(mapping["name"], root, "name") ?? path
    summary = try reader.text(mapping["summary"], root, "summary") ?? ""
    format = try reader.text(mapping["format"], root, "format")
    guard let list = mapping["rules"]?.sequence, !list.isEmpty, list.count <= Recipe.ruleLimit else {
      throw reader.wrong(
        mapping["rules"] ?? root, "1 to \(Recipe.ruleLimit) rules under 'rules'",
        mapping["rules"] == nil ? "no such key" : "none or another kind of value")
    }
    var rules: [Rule] = []
    for node in list { rules.append(try reader.rule(node)) }
    self.rules = rules
    fallbacks = try reader.fallbacks(mapping["fallback"])
    source = text
  }
}

/// Turns YAML nodes into rules.
private struct RecipeReader {
  let path: String

  func wrong(_ node: Node, _ expected: String, _ found: String) -> FormatError {
    let place = node.mark.map { "line \($0.line), column \($0.column): " } ?? ""
    return FormatError(path: path, expected: place + expected, found: found)
  }

  func requireKeys(_ mapping: Node.Mapping, _ known: [String], _ node: Node) throws(FormatError) {
    var seen = Set<String>()
    for (key, _) in mapping {
      guard let name = key.scalar?.string, known.contains(name) else {
        throw wrong(
          key, "one of the keys \(known.joined(separator: ", "))",
          "'\(key.scalar?.string ?? "another value")'")
      }
      guard seen.insert(name).inserted else {
        throw wrong(key, "keys that occur once", "'\(name)' a second time")
      }
    }
  }

  func text(_ node: Node?, _ parent: Node, _ key: String) throws(FormatError) -> String? {
    guard let node else { return nil }
    guard let text = node.scalar?.string else {
      throw wrong(node, "text for '\(key)'", "another kind of value")
    }
    return text
  }

  func rule(_ node: Node) throws(FormatError) -> Recipe.Rule {
    guard let mapping = node.mapping else {
      throw wrong(node, "a rule as a mapping", "another kind of value")
    }
    try requireKeys(
      mapping,
      [
        "parts", "names", "layers", "experts", "expert-count", "least-experts", "queries-per-key", "encoding",
        "quantizer",
      ],
      node)
    guard let encodingNode = mapping["encoding"], let name = encodingNode.scalar?.string else {
      throw wrong(
        mapping["encoding"] ?? node, "an encoding, such as 'int4 g64 zero f16', 'bf16' or 'keep'", "none")
    }
    let encoding = name == "keep" ? nil : try self.encoding(encodingNode)
    var quantizer: Quantizer?
    if let quantizerNode = mapping["quantizer"], let name = try text(quantizerNode, node, "quantizer") {
      let possible = encoding.map(Quantizer.filling) ?? []
      guard let known = Quantizer(name: name), possible.contains(known) else {
        throw wrong(
          quantizerNode,
          possible.isEmpty
            ? "no quantizer for '\(encodingNode.scalar!.string)'"
            : "one of \(possible.map(\.rawValue).joined(separator: ", "))", "'\(name)'")
      }
      quantizer = known
    }
    return Recipe.Rule(
      parts: try parts(mapping["parts"]), names: try names(mapping["names"]),
      layers: try layers(mapping["layers"]),
      experts: try ranges(mapping["experts"], "experts"),
      expertCount: try count(mapping["expert-count"], "expert-count"),
      leastExperts: try count(mapping["least-experts"], "least-experts"),
      queriesPerKey: try count(mapping["queries-per-key"], "queries-per-key"), encoding: encoding,
      quantizer: quantizer,
      line: node.mark?.line ?? 0)
  }

  private func encoding(_ node: Node) throws(FormatError) -> Encoding {
    let name = node.scalar?.string ?? ""
    guard let known = Encoding(name: name) else {
      throw wrong(
        node,
        "an encoding: 'keep', 'f32', 'f16', 'bf16', or int2|3|4|5|6|8 with g16…g128 (multiples of 16) "
          + "or row, then sym|zero|bias and f16|bf16|f32, or mx-fp4, mx-fp8, nv-fp4, 'nv-fp4 global', or trellis-1.5 to trellis-4 in "
          + "half bits with w8…w16, or a GGUF type such as q4_k",
        "'\(name)'")
    }
    return known
  }

  /// Encodings by those that they stand in for.
  func fallbacks(_ node: Node?) throws(FormatError) -> [Encoding: Encoding] {
    guard let node else { return [:] }
    guard let mapping = node.mapping else {
      throw wrong(node, "a mapping of encodings, such as 'q4_k: q5_0'", "another kind of value")
    }
    var fallbacks: [Encoding: Encoding] = [:]
    for (key, value) in mapping {
      let encoding = try encoding(key)
      guard fallbacks.updateValue(try self.encoding(value), forKey: encoding) == nil else {
        throw wrong(key, "encodings that occur once", "'\(encoding)' a second time")
      }
    }
    return fallbacks
  }

  private func count(_ node: Node?, _ key: String) throws(FormatError) -> Int? {
    guard let node else { return nil }
    guard let count = node.scalar.flatMap({ Int($0.string) }), count > 0 else {
      throw wrong(node, "a number of at least 1 for '\(key)'", "'\(node.scalar?.string ?? "another value")'")
    }
    return count
  }

  private func parts(_ node: Node?) throws(FormatError) -> Set<Recipe.Part>? {
    guard let node else { return nil }
    var parts = Set<Recipe.Part>()
    for item in node.sequence.map(Array.init) ?? [node] {
      let name = item.scalar?.string ?? ""
      if name == "all" && node.sequence == nil { return nil }
      if let group = Recipe.groups.first(where: { $0.name == name }) {
        parts.formUnion(group.parts)
      } else if let kind = TensorKind.known.first(where: { $0.rawValue == name }) {
        parts.insert(.init(kind))
      } else {
        let known = Recipe.groups.map(\.name) + TensorKind.known.map(\.rawValue)
        throw wrong(item, "'all' or parts out of \(known.joined(separator: ", "))", "'\(name)'")
      }
    }
    guard !parts.isEmpty else { throw wrong(node, "at least one part", "none") }
    return parts
  }

  /// A pattern of names, or a list of such.
  private func names(_ node: Node?) throws(FormatError) -> [String]? {
    guard let node else { return nil }
    var names: [String] = []
    for item in node.sequence.map(Array.init) ?? [node] {
      guard let text = item.scalar?.string, !text.isEmpty, text.utf8.count <= 500 else {
        throw wrong(item, "a pattern of names such as '*.mlp.*.weight'", "another value")
      }
      names.append(text)
    }
    guard !names.isEmpty else { throw wrong(node, "at least one pattern", "none") }
    return names
  }

  /// A layer set, or a list of such.
  private func layers(_ node: Node?) throws(FormatError) -> [LayerSet]? {
    guard let node else { return nil }
    var sets: [LayerSet] = []
    for item in node.sequence.map(Array.init) ?? [node] {
      let text = item.scalar?.string ?? ""
      for piece in text.split(separator: ",", omittingEmptySubsequences: false) {
        guard let set = LayerSet(String(piece)) else {
          throw wrong(item, "layers as N, N-M, 'first N', 'first A/B', 'last …' or 'more-bits'", "'\(text)'")
        }
        sets.append(set)
      }
    }
    guard !sets.isEmpty else { throw wrong(node, "layers as N or N-M", "none") }
    return sets
  }

  /// `3`, `0-7`, or a list of such.
  private func ranges(_ node: Node?, _ key: String) throws(FormatError) -> [ClosedRange<Int>]? {
    guard let node else { return nil }
    var ranges: [ClosedRange<Int>] = []
    for item in node.sequence.map(Array.init) ?? [node] {
      let text = item.scalar?.string ?? ""
      for piece in text.split(separator: ",", omittingEmptySubsequences: false) {
        let ends = piece.split(separator: "-", omittingEmptySubsequences: false)
          .map { Int($0.filter { $0 != " " }) }
        guard (1...2).contains(ends.count), let low = ends[0], let high = ends[ends.count - 1], low >= 0,
          low <= high
        else { throw wrong(item, "\(key) as N or N-M", "'\(text)'") }
        ranges.append(low...high)
      }
    }
    guard !ranges.isEmpty else { throw wrong(node, "\(key) as N or N-M", "none") }
    return ranges
  }
}
