import ArgumentParser
import Quantization
import Tensors

struct Recipes: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "List the built-in recipes, or print one to start your own from.")

  @Argument(help: "Name of a recipe to print.")
  var name: String?

  @OptionGroup var json: JSONOption

  func run() throws {
    if let name {
      print(try Recipe.named(name).source)
      return
    }
    if json.json {
      let list = Recipe.builtIn.map { recipe -> JSON in
        ["name": .string(recipe.name), "summary": .string(recipe.summary), "text": .string(recipe.source)]
      }
      print(JSON.array(list).text(indented: true))
      return
    }
    var table = Table(["recipe", "what it does"], left: [0, 1])
    for recipe in Recipe.builtIn { table.add([recipe.name, recipe.summary]) }
    print(table.text)
  }
}
