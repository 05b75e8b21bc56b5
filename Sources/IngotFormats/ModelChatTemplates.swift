import IngotModels
import IngotSystem
import IngotTensors
import IngotTokenizer

extension ChatTemplates {
  /// The chat templates of a model: among its side files, and in its folder's additional_chat_templates.
  /// - Throws: FormatError for files that cannot be read or hold something else.
  public init(of model: Model) throws(FormatError) {
    let folder = "\(model.path)/\(ChatTemplates.folder)"
    let prefix = ChatTemplates.folder + "/"
    var names = Set(
      model.sideFiles.map(\.name).filter { $0.hasPrefix(prefix) }.map { String($0.dropFirst(prefix.count)) })
    if Folder.kind(folder) == .folder { names.formUnion(try Folder.names(folder)) }
    try self.init(path: model.path, additional: Array(names)) { name throws(FormatError) in
      if let file = model.sideFile(name) { return file.bytes.array }
      guard name.hasPrefix(prefix), Folder.kind("\(model.path)/\(name)") == .file else { return nil }
      return try Bytes.mapping(CheckpointLocation.file(name, in: model.path)).array
    }
  }
}
