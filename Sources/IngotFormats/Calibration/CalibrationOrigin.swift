import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors
import IngotTokenizer

extension CalibrationFile {
  /// The model that statistics were gathered from, as their file says it.
  struct Origin: Hashable, Sendable {
    var name: String
    var layers: Int
    var hiddenSize: Int
    var experts: Int
    var width: Int
    var vocabulary: Int
    var parameters: Int

    init(_ model: Model) {
      let blueprint = model.blueprint
      name = model.sourceName
      (layers, hiddenSize, vocabulary) = (blueprint.layerCount, blueprint.hiddenSize, blueprint.vocabulary)
      (experts, width) = (blueprint.experts.count, blueprint.experts.intermediateSize)
      parameters = model.parameters
    }

    /// - Returns: nil when `json` is something else.
    init?(_ json: JSON) {
      guard let name = json["name"]?.string, let layers = json["layers"]?.int,
        let hiddenSize = json["hiddenSize"]?.int, let experts = json["experts"]?.int,
        let width = json["expertWidth"]?.int, let vocabulary = json["vocabulary"]?.int,
        let parameters = json["parameters"]?.int
      else { return nil }
      (self.name, self.layers, self.hiddenSize, self.experts) = (name, layers, hiddenSize, experts)
      (self.width, self.vocabulary, self.parameters) = (width, vocabulary, parameters)
    }

    var json: JSON {
      [
        "name": .string(name), "layers": JSON(layers), "hiddenSize": JSON(hiddenSize),
        "experts": JSON(experts),
        "expertWidth": JSON(width), "vocabulary": JSON(vocabulary), "parameters": JSON(parameters),
      ]
    }

    /// Refuses statistics of a model of other shapes, naming what differs. Older files do not say which model they are of.
    static func require(_ metadata: [String: String], _ model: Model, _ path: String) throws(FormatError) {
      guard let text = metadata["model"], let json = try? JSON.parse(Array(text.utf8), path: path),
        let found = Origin(json)
      else { return }
      let wanted = Origin(model)
      let facts: [(name: String, values: (Int, Int))] = [
        ("layers", (wanted.layers, found.layers)), ("hidden size", (wanted.hiddenSize, found.hiddenSize)),
        ("experts", (wanted.experts, found.experts)), ("width of an expert", (wanted.width, found.width)),
        ("vocabulary size", (wanted.vocabulary, found.vocabulary)),
      ]
      let different = facts.filter { $0.values.0 != $0.values.1 }
      guard !different.isEmpty else { return }
      func list(_ value: ((Int, Int)) -> Int) -> String {
        different.map { "\($0.name) \(value($0.values))" }.joined(separator: ", ")
      }
      throw FormatError(
        path: path,
        expected:
          "statistics of \(printable(model.path)): \(list { $0.0 }); collect them with 'ingot calibrate "
          + "\(printable(model.path))'",
        found: "those of another model, \(printable(found.name, limit: 100)): \(list { $0.1 })")
    }
  }

  /// What tells tokenizers apart: pieces by number, and merges.
  package static func fingerprint(_ tokenizer: Tokenizer) -> String {
    var hash = XXH3()
    for piece in tokenizer.tokens { hash.update(Bytes(Array(((piece ?? "") + "\0").utf8)).span) }
    for merge in tokenizer.merges {
      hash.update(Bytes(Array("\(merge.left) \(merge.right)\n".utf8)).span)
    }
    return hexDigits(hash.digest())
  }

  /// A word where statistics were gathered with another tokenizer than the model's; nil where not, or where that cannot be
  /// told.
  package static func tokenizerRemark(_ path: String, for model: Model) -> String? {
    guard let header = try? SafeTensorsHeader(path: path), let known = header.metadata["tokenizer"],
      let tokenizer = try? Tokenizer(of: model), fingerprint(tokenizer) != known
    else { return nil }
    return "\(printable(path)): collected with another tokenizer than the one of \(printable(model.path)) "
      + "(fingerprint \(printable(known, limit: 16)), not \(fingerprint(tokenizer))): its texts were cut into other tokens; collect "
      + "statistics with this model, 'ingot calibrate \(printable(model.path))'"
  }
}
