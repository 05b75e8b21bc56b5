import IngotModels
import IngotSystem
import IngotTensors

/// The page of `ingot plan MODEL --recipe X --html`: what becomes of each tensor.
public struct RecipePage {
  private let figures: Figures

  /// - Parameter report: what `ingot plan --recipe --json` prints.
  public init(_ report: JSON) { figures = Figures(report: report) }

  public var html: String {
    var page = Page(
      title: "\(printable(figures.string("model.name"))) by \(printable(figures.string("recipe")))",
      subtitle: ModelLine(figures: figures).markup, report: figures.report)
    page.add("summary", "Summary", "Summary", tiles)
    page.add("bytes", "Bytes", "Where the bytes go", ByteShares(figures: figures, key: "parts").markup)
    page.add(
      "experts", "Experts", "Expert by expert", ExpertBits(figures: figures, key: "expertBits").markup)
    return page.html
  }

  private var tiles: Markup {
    Tile.list([
      Tile("Output", figures("bytes", .bytes), figures("bytes", .count) + " bytes"),
      Tile("Bits per weight", figures("bitsPerWeight", .fixed(3)), "over all tensors"),
      Tile("Source", figures("sourceBytes", .bytes), figures("sourceBytes", .count) + " bytes"),
      Tile("Format", figures.name("format"), "recipe " + figures.name("recipe")),
    ])
  }
}

/// Bits per weight of each expert, as a map.
struct ExpertBits {
  let figures: Figures
  let key: String

  var markup: Markup {
    HeatMap(
      title: "Bits per weight",
      description: "Bits per weight of every expert of every layer, scales included.",
      cells: figures.list(key).map { ($0.array ?? []).map(\.double) }, key: key, style: .fixed(2),
      unit: " bits"
    ).markup
  }
}
