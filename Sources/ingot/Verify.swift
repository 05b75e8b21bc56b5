import ArgumentParser

struct Verify: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Measure how far a model drifted from its original.")
}
