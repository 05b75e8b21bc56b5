import IngotModels
import IngotSystem
import IngotTensors

/// Where an artifact came from: source files with their hashes, recipe, tool version. Nothing in it
/// depends on the machine, the time or the number of workers, and its length is known before a weight is read.
enum Provenance {
  /// The record of a model that is about to be written.
  ///
  /// - Parameter hashes: SHA-256 of the weight files in hexadecimal; nil while they are not known, which gives
  ///   the same length.
  /// - Throws: FormatError when a weight file is not there any more.
  static func of(_ model: Model, _ options: WriteOptions, hashes: [String]?) throws(FormatError) -> JSON {
    var files: [JSON] = []
    for (index, path) in model.weightFiles.enumerated() {
      var entry: JSONObject = ["name": .string(Folder.name(of: path))]
      entry["bytes"] = JSON(try File(reading: path).size())
      if options.hashSource { entry["sha256"] = .string(hashes?[index] ?? String(repeating: "0", count: 64)) }
      files.append(.object(entry))
    }
    let origin = HubOrigin(model.path)
    var source: JSONObject = [
      "name": .string(origin?.repository ?? Folder.name(of: model.path)), "format": .string(model.format),
      "files": .array(files),
    ]
    if let origin { source["revision"] = .string(origin.commit) }
    if let earlier = model.provenance { source["provenance"] = earlier }
    var record = options.provenance
    record["source"] = .object(source)
    return .object(record)
  }
}

extension Model {
  /// Name of the model that all began with: the innermost source of an artifact, the repository of files on the Hub or in
  /// the Hugging Face cache, or the folder.
  public var sourceName: String {
    if var record = provenance {
      while let earlier = record["source"]?["provenance"] { record = earlier }
      if let name = record["source"]?["name"]?.string { return name }
    }
    if let origin = HubOrigin(self.path) { return origin.repository }
    return Folder.name(of: Folder.resolved(self.path) ?? self.path)
  }
}
