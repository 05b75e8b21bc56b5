/// A headline figure.
struct Tile {
  var name: Markup
  var figure: Markup
  var note: Markup

  init(_ name: Markup, _ figure: Markup, _ note: Markup) {
    self.name = name
    self.figure = figure
    self.note = note
  }

  static func list(_ tiles: [Tile]) -> Markup {
    .element(
      "dl", ["class": "tiles"],
      tiles.map { tile in
        .element(
          "div", ["class": "tile"], .element("dt", [:], tile.name),
          .element("dd", ["class": "big"], tile.figure), .element("dd", ["class": "small"], tile.note))
      })
  }
}
