import Foundation
import IngotFormats
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors
import IngotTokenizer
import Testing

/// Files beside the weights travel whole, whatever the format, and chat templates in their own folder too.
@Suite struct SideFileTests {
  private static let recipes = ["int4", "q4_k_m", "mlx-4bit", "w4a16", "gptq-4bit", "awq-4bit"]
  private let templates = [
    "additional_chat_templates/tool_use.jinja": "T{{ 1 }}", "additional_chat_templates/r a g.jinja": "R",
  ]

  /// The embedded model with more templates, and with a license.
  private func source(_ scratch: Scratch) throws -> String {
    let folder = try scratch.copy(Fixture.nano, to: "m2-nano")
    try FileManager.default.createDirectory(
      atPath: folder + "/additional_chat_templates", withIntermediateDirectories: true)
    for (name, text) in templates { try Data(text.utf8).write(to: URL(fileURLWithPath: folder + "/" + name)) }
    // Neither is a template.
    try Data("x".utf8).write(to: URL(fileURLWithPath: folder + "/additional_chat_templates/notes.txt"))
    try FileManager.default.createDirectory(
      atPath: folder + "/additional_chat_templates/deep.jinja", withIntermediateDirectories: true)
    try Data("license\n\u{E9}".utf8).write(to: URL(fileURLWithPath: folder + "/LICENSE"))
    return folder
  }

  private func format(of recipe: String) throws -> Format {
    let name = try Recipe.named(recipe).format
    return Format.all.first { $0.name == name } ?? .ingot
  }

  @Test(arguments: recipes) func everyFormatCarriesThem(_ recipe: String) async throws {
    let scratch = try Scratch()
    let model = try Model.read(try source(scratch))
    #expect(Set(model.sideFiles.map(\.name)).isSuperset(of: templates.keys))
    let format = try format(of: recipe)
    let path = scratch("out" + (format.traits.suffix ?? ""))
    let quantized = try model.quantized(by: try Recipe.named(recipe).plan(for: model))
    let planned = try quantized.plannedBytes(as: format, .with())
    let written = try await quantized.write(path, as: format, .with())
    #expect(written.bytes == planned)
    let back = try Model.read(path)
    let (before, after) = (try ChatTemplates(of: model), try ChatTemplates(of: back))
    func plain(_ name: String) -> String {
      format.name == Format.gguf.name ? name.replacing(" ", with: "_") : name
    }
    #expect(before.templates.count == 3)
    #expect(
      Set(after.templates.map { "\($0.name): \($0.source)" })
        == Set(before.templates.map { "\(plain($0.name)): \($0.source)" }))
    // A GGUF file says some in keys, of which a reader makes files again.
    let others: Set = [
      "config.json", "README.md", "tokenizer.json", "tokenizer_config.json", "generation_config.json",
    ]
    for file in model.sideFiles
    where !others.contains(file.name) && (format.name != Format.gguf.name || !file.name.hasSuffix(".jinja")) {
      #expect(back.sideFile(file.name)?.bytes.array == file.bytes.array, "\(file.name)")
    }
    if format.name != Format.gguf.name {
      for name in others.subtracting(["config.json", "README.md"]) {
        #expect(back.sideFile(name)?.bytes.array == model.sideFile(name)?.bytes.array, "\(name)")
      }
    }
    // And it may be replaced, templates and all.
    var again = WriteOptions.with()
    again.force = true
    _ = try await quantized.write(path, as: format, again)
    #expect(try ChatTemplates(of: Model.read(path)).templates.count == 3)
    if format.name == Format.ingot.name {
      let outcome = try Python.reader([path, "--digests"])
      #expect(outcome.status == 0, "\(outcome)")
    }
  }

  @Test(arguments: recipes) func listsOfTemplatesStayWhole(_ recipe: String) async throws {
    let scratch = try Scratch()
    var model = try Model.read(Fixture.nano)
    model.sideFiles.removeAll { ["chat_template.jinja", "tokenizer_config.json"].contains($0.name) }
    let text =
      #"{"eos_token": "[e~[", "chat_template": [{"name": "default", "template": "A"}, {"name": "rag", "template": "B"}]}"#
    model.sideFiles.append(SideFile(name: "tokenizer_config.json", bytes: Bytes(Array(text.utf8))))
    let format = try format(of: recipe)
    let path = scratch("out" + (format.traits.suffix ?? ""))
    _ = try await model.quantized(by: try Recipe.named(recipe).plan(for: model)).write(
      path, as: format, .with())
    let back = try Model.read(path)
    if format.name != Format.gguf.name {
      #expect(back.sideFile("tokenizer_config.json")?.bytes.array == Array(text.utf8))
    }
    #expect(try ChatTemplates(of: back).templates.map(\.source) == ["A", "B"])
  }
}
