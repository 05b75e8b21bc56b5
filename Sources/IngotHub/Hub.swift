import IngotFormats
import IngotSystem

/// Models on the Hugging Face Hub: read from there as if they were on the disk, or downloaded into the cache.
///
///     let path = try Hub.locate("MiniMaxAI/MiniMax-M2")
///     let model = try Model.read(path)
public enum Hub {
  /// Where the model is that a user names: a path or a model in the cache as it is; any other name is looked up on the Hub, and
  /// its files are there under the path that this returns for as long as the process runs. Their weights are fetched when they
  /// are needed and never stored.
  ///
  /// The revision is that which the name has now: the path names its commit.
  ///
  /// - Throws: FormatError when there is no such model, no access to it, or no network.
  public static func locate(_ model: String, _ settings: HubSettings? = nil) throws(FormatError) -> String {
    guard let (name, settings) = try wanted(model, settings) else { return model }
    let (cached, problem) = HubSnapshot.find(name, settings.cache)
    // Readers find a plain name in the cache.
    if let cached { return isPlain(name, model) ? model : cached }
    guard !settings.isOffline else { throw problem ?? offline(model, settings) }
    let repository: HubRepository
    do throws(FormatError) {
      repository = try self.repository(name, model, settings)
    } catch {
      // What is wrong with the cache is nearer than that the Hub does not help.
      guard var problem else { throw error }
      problem.found += "; the Hub does not have it either: \(error.found)"
      throw problem
    }
    let file = try name.file.map { file throws(FormatError) in try repository.file(file) }
    try prepare(repository.mount(), for: file, of: repository)
    return repository.path + (file.map { "/" + $0 } ?? "")
  }

  /// Downloads what a model's readers need into the cache, in its own layout, and gives the path there. What is there already
  /// stays; a file that an earlier run has begun is continued.
  ///
  /// - Parameter progress: gets the bytes that are there, and of how many.
  public static func download(
    _ model: String, _ settings: HubSettings? = nil, progress: (@Sendable (Int, Int) -> Void)? = nil
  ) throws(FormatError) -> String {
    guard let (name, settings) = try wanted(model, settings) else { return model }
    if settings.isOffline { return try locate(model, settings) }
    let repository = try repository(name, model, settings)
    let file = try name.file.map { file throws(FormatError) in try repository.file(file) }
    let snapshot = try HubDownload(repository, revision: name.revision, settings.cache).run(file, progress)
    return isPlain(name, model) ? model : snapshot + (file.map { "/" + $0 } ?? "")
  }

  private static func isPlain(_ name: HubName, _ model: String) -> Bool {
    name.file == nil && !model.hasPrefix(RemoteFiles.scheme)
  }

  /// Bytes that have come over the network since the process began.
  public static var receivedBytes: Int { HTTPConnections.receivedBytes }

  /// Whether nothing of this name is on the disk, and it may be one on the Hub.
  public static func isName(_ model: String) -> Bool {
    Folder.kind(model) == .nothing && !Folder.exists(model) && HubName(model) != nil
  }

  /// - Returns: nil for what is on the disk, or no name on the Hub.
  private static func wanted(_ model: String, _ settings: HubSettings?) throws(FormatError) -> (
    HubName, HubSettings
  )? {
    guard isName(model), let name = HubName(model) else { return nil }
    if let settings { return (name, settings) }
    return (name, try HubSettings())
  }

  private static func offline(_ model: String, _ settings: HubSettings) -> FormatError {
    FormatError(
      path: model,
      expected:
        "a file, a folder or a model in the Hugging Face cache (\(settings.cache.folder)), since the network is not to be used",
      found: "nothing there")
  }

  private static func repository(_ name: HubName, _ model: String, _ settings: HubSettings)
    throws(FormatError) -> HubRepository
  {
    do throws(FormatError) {
      return try HubRepository(name, try HubClient(settings, agent: agent))
    } catch {
      guard !model.hasPrefix(RemoteFiles.scheme), error.cause == .content else { throw error }
      // It may have been meant as a path.
      var error = error
      error.found += "; nor is there a file or folder '\(model)'"
      throw error
    }
  }

  private static let agent = "ingot; libcurl"

  /// Fetches what opening a model reads, side by side: side files and headers.
  private static func prepare(_ files: [HubFile], for file: String?, of repository: HubRepository)
    throws(FormatError)
  {
    let folder: String
    switch file {
    case nil: folder = ""
    case let file?:
      // Of other files the header says itself how long it is.
      if file.hasSuffix(".gguf") || file.hasSuffix(".ingot") { return }
      let isFile = repository.entries.contains { $0.name == file }
      folder = isFile ? (Folder.parent(of: file) == "." ? "" : Folder.parent(of: file) + "/") : file + "/"
    }
    let wanted = zip(repository.entries, files).filter { entry, file in
      guard entry.name.hasPrefix(folder) else { return false }
      let name = entry.name.dropFirst(folder.count)
      if name.hasPrefix(".") { return false }
      if name.hasSuffix(".safetensors") { return !name.contains("/") }
      return !HubFile.isWeights(entry.name) && entry.size <= 64 << 20
        && (!name.contains("/") || name.hasPrefix("additional_chat_templates/"))
    }.map(\.1)
    try Threads.forEach(wanted, width: RemoteFiles.connections) { file throws(FormatError) in
      if file.path.hasSuffix(".safetensors") { try file.fetchHead() } else { _ = try file.content() }
    }
  }
}
