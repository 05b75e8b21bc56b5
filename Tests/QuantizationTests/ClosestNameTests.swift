import IngotQuantization
import IngotSystem
import IngotTensors
import Testing

@Suite struct ClosestNameTests {
  @Test(
    arguments: [
      ("q4_k_n", "q4_k_m"), ("Q4_KM", "q4_k_m"), ("int44", "int4"), ("itn4", "int4"),
      ("mlx-4bits", "mlx-4bit"),
      ("trellis", nil), ("something else", nil), ("", nil),
    ] as [(String, String?)])
  func namesThatAreMeant(_ name: String, _ meant: String?) {
    #expect(closestName(to: name, among: ["int8", "int4", "q4_k_m", "q5_k_m", "mlx-4bit"]) == meant)
  }

  @Test func recipesInEitherCase() throws {
    #expect(try Recipe.named("Q4_K_M").name == "q4_k_m")
    let error = #expect(throws: FormatError.self) { try Recipe.named("q4_k_n") }
    #expect(error?.description.contains("did you mean q4_k_m?") == true, "\(error?.description ?? "")")
  }
}
