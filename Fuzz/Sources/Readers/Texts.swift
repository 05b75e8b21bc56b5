import IngotFormats
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors
import IngotTokenizer

// What is read from memory.
extension Target {
  static var texts: [Target] {
    [
      Target(name: "json") {
        { input throws(FormatError) in
          let value = try JSON.parse(input, path: "x.json")
          // What was read can be written, and is the same then.
          let again = try JSON.parse(Array(value.text().utf8), path: "again.json")
          precondition(value == again, "JSON that changes when it is written")
        }
      },
      Target(name: "config") {
        { input throws(FormatError) in
          let config = try Config(input, path: "config.json")
          let family = try Family.of(config)
          let blueprint = try family.blueprint(config)
          var seen = 0
          try blueprint.forEachTensor { role, spec throws(FormatError) in
            seen += 1
            if seen > 100 { return }
            precondition(family.role(of: family.name(of: role), blueprint) == role)
            precondition(elementCount(spec.shape) != nil && blueprint.spec(of: role) == spec)
          }
        }
      },
      Target(name: "tokenizer") {
        { input throws(FormatError) in
          let tokenizer = try Tokenizer(json: input, path: "tokenizer.json", config: nil)
          let text = "Hello,  wörld! 123 中文\r\n\t<x>'s " + String(decoding: input.suffix(48), as: UTF8.self)
          _ = tokenizer.decode(tokenizer.encode(text))
        }
      },
      Target(name: "recipe") {
        let model = try tinyModel()
        return { input throws(FormatError) in
          // Others hand over a String already.
          guard let text = String(validating: input, as: UTF8.self) else { return }
          _ = try Recipe(yaml: text, path: "x.yaml").plan(for: model)
        }
      },
    ]
  }

  /// The smallest model of the layout, dense.
  static func tinyModel() throws -> Model {
    let folder = TinyCheckpoint(in: "tiny", config: TinyCheckpoint.config())
    folder.weights.write(TinyCheckpoint.safeTensors(TinyCheckpoint.tensors))
    return try Format.safeTensors.read(folder.path, .init())
  }
}
