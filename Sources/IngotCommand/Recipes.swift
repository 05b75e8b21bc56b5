import ArgumentParser
import IngotFormats
import IngotModels
import IngotQuantization
import IngotReports
import IngotSystem
import IngotTensors

struct Recipes: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "List the built-in recipes, or print one as a starting point for your own.")

  @Argument(help: "Name of a recipe to print.", completion: .builtInRecipe)
  var name: String?

  @OptionGroup var json: JSONOption

  func run() throws {
    if let name {
      print(try Recipe.named(name).source)
      return
    }
    if json.json {
      let list = Recipe.builtIn.map { recipe -> JSON in
        [
          "name": .string(recipe.name), "summary": .string(recipe.summary),
          "format": .string(recipe.format ?? Format.ingot.name),
          "bitsPerWeight": recipe.bitsPerWeightOfMiniMaxM2().map { JSON($0) } ?? .null,
          "text": .string(recipe.source),
        ]
      }
      print(JSON.object(["recipes": .array(list)]).text(indented: true))
      return
    }
    var table = Table(["recipe", "format", "bits/weight", "what it does"], left: [0, 1, 3])
    for recipe in Recipe.builtIn {
      let bits = recipe.bitsPerWeightOfMiniMaxM2().map { fixed($0, 2) } ?? ""
      table.add([recipe.name, recipe.format ?? Format.ingot.name, bits, recipe.summary])
    }
    print(table.text(width: 100))
    print("\nbits per weight: of MiniMax-M2; 'ingot plan' says them of a model of yours")
  }
}
