import ArgumentParser
import IngotHub
import IngotSystem

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// How models that are not on this machine are had.
struct HubOptions: ParsableArguments {
  @Flag(
    name: .long,
    help: "Keep the model in the Hugging Face cache, instead of reading it from the Hub as it is needed.")
  var download = false

  @Flag(name: .long, help: "Use no network: read models from the disk or the Hugging Face cache.")
  var offline = false

  func validate() throws {
    guard !download || !offline else { throw ValidationError("--download and --offline exclude each other.") }
  }

  /// The path of the model that a user names.
  func locate(_ model: String) throws -> String {
    // What the environment says of the Hub matters to nothing else.
    guard Hub.isName(model) else { return model }
    var settings = try HubSettings()
    settings.isOffline = settings.isOffline || offline
    guard download else { return try Hub.locate(model, settings) }
    Interrupt.handle()
    let progress = Progress("download", total: 0)
    defer { progress.finish() }
    return try Hub.download(model, settings) { progress.set($0, of: $1) }
  }
}

/// A command whose arguments name models.
protocol ReadsModels: ParsableCommand {
  static var models: [WritableKeyPath<Self, String>] { get }
  /// Whether the same weights are read again and again.
  static var readsWeightsOften: Bool { get }
  var hub: HubOptions { get }

  /// Replaces names of models on the Hub by the paths that they are read from.
  mutating func locateModels() throws
}

extension ReadsModels {
  static var readsWeightsOften: Bool { false }

  mutating func locateModels() throws {
    watchNetwork()
    for path in Self.models {
      self[keyPath: path] = try hub.locate(self[keyPath: path])
      if Self.readsWeightsOften, RemoteFiles.isRemote(self[keyPath: path]) {
        Terminal.error(
          "warning: weights come over the network each time they are read, for every token anew: --download keeps them"
        )
      }
    }
  }

  /// What ends the command when a model's bytes cannot be had.
  func watchNetwork() {
    Hub.stops(when: Interrupt.isRequested)
    RemoteFiles.whenUnreadable { error in
      Terminal.error("error: \(error.text)")
      Terminal.error("interrupted; run the same command again to resume")
      _exit(75)
    }
  }
}

extension Inspect: ReadsModels {
  static var models: [WritableKeyPath<Inspect, String>] { [\.model] }
  var hub: HubOptions { reading.hub }
}
extension Fit: ReadsModels {
  static var models: [WritableKeyPath<Fit, String>] { [\.model] }
  var hub: HubOptions { reading.hub }
}
extension PlanCommand: ReadsModels {
  static var models: [WritableKeyPath<PlanCommand, String>] { [\.model] }
  var hub: HubOptions { reading.hub }
}
extension Calibrate: ReadsModels {
  static var models: [WritableKeyPath<Calibrate, String>] { [\.model] }
  var hub: HubOptions { reading.hub }
}
extension SensitivityCommand: ReadsModels {
  static var models: [WritableKeyPath<SensitivityCommand, String>] { [\.model] }
  var hub: HubOptions { reading.hub }
}
extension Quantize: ReadsModels {
  static var models: [WritableKeyPath<Quantize, String>] { [\.model] }
  var hub: HubOptions { reading.hub }
}
extension Convert: ReadsModels {
  static var models: [WritableKeyPath<Convert, String>] { [\.model] }
  var hub: HubOptions { reading.hub }
}
extension Generate: ReadsModels {
  static var models: [WritableKeyPath<Generate, String>] { [\.model] }
  static var readsWeightsOften: Bool { true }
  var hub: HubOptions { reading.hub }
}
extension Serve: ReadsModels {
  static var models: [WritableKeyPath<Serve, String>] { [\.model] }
  static var readsWeightsOften: Bool { true }
  var hub: HubOptions { reading.hub }
}
extension Logits: ReadsModels {
  static var models: [WritableKeyPath<Logits, String>] { [\.model] }
  var hub: HubOptions { reading.hub }
}
extension Check: ReadsModels {
  static var models: [WritableKeyPath<Check, String>] { [\.model] }
}
