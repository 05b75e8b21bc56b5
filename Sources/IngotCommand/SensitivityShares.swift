import ArgumentParser
import IngotFormats
import IngotModels
import IngotReports
import IngotSystem
import IngotWorkflows

extension SensitivityCommand {
  /// Makes a share.
  func run(_ share: Share, _ request: SensitivityRequest) async throws {
    // The command's own name is first.
    let arguments = SharedArguments.of(Array(CommandLine.arguments.dropFirst(2)))
    let result = try await Progress.showing("sensitivity", work) {
      try await request.run(share, arguments: arguments, $0)
    }
    if json.json {
      print(result.json.text(indented: true))
      return
    }
    let (first, last) = (result.layers.lowerBound, result.layers.upperBound - 1)
    print(
      """
      \(result.output)
      \(share.description), \(first == last ? "layer \(first)" : "layers \(first) to \(last)"), \
      \(grouped(result.tokens)) tokens in \(grouped(result.contexts)) contexts, \(duration(result.seconds)); \
      when all are made: ingot assemble \(output) -o NAME.sens
      """)
  }
}

extension Assemble {
  /// Puts a measurement together, and runs plans by it.
  func assembleSensitivity(to output: String) async throws {
    guard writing.layout.splitSize == nil else {
      throw ValidationError("--split-size has nothing to do with a sensitivity file, which is one.")
    }
    let shares = try SensitivityShares(folder)
    var command = try SensitivityCommand.parse(known(shares.arguments) + ["--output", output])
    if let model { command.model = model }
    if let importance { command.importance = importance }
    try requireModel(command.model)
    if let path = command.importance {
      try requireThere(path, "the calibration file that the shares were made with", "--importance")
    }
    try command.locateModels()
    (command.force, command.takeOver) = (writing.force, writing.takeOver)
    let request = command.request
    command.show(
      try await Progress.showing("assemble", work) { try await request.assemble(shares, $0) },
      isJSON: json.json)
  }
}
