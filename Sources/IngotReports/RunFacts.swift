import IngotSystem
import IngotTensors

/// What was compared and how, so that it can be done again.
struct RunFacts {
  let figures: Figures

  var markup: Markup {
    var facts: [Markup] = []
    func add(_ name: String, _ value: Markup) {
      facts.append(.element("dt", [:], Markup(name)))
      facts.append(.element("dd", [:], value))
    }
    add("command", .element("code", ["data-key": "run.command"], Markup(figures.string("run.command"))))
    add(
      "program",
      figures.name("run.tool") + ", kernels for " + figures.name("run.isa") + ", "
        + figures("run.threads", .count) + " threads, " + figures("seconds", .fixed(1)) + " s")
    if figures["run.fast.roundedBytes"].int != nil {
      add(
        "activations",
        "of the candidate rounded to 8 bits for " + figures("run.fast.roundedBytes", .count)
          + " bytes of linear layers; the original's in F32")
    }
    for side in ["candidate", "original"] {
      add(
        side,
        figures.name(side + ".name") + " (" + figures.name(side + ".format") + "), "
          + figures(side + ".parameters", .count) + " parameters, " + figures(side + ".bytes", .count)
          + " bytes of tensors")
      if figures[side + ".recipe"].string != nil {
        add("recipe", figures.name(side + ".recipe") + ", made by " + figures.name(side + ".madeBy"))
      }
    }
    add(
      "contexts",
      figures("contexts", .count) + " of " + figures("run.context", .count)
        + " tokens, the second half of each scored")
    return .element("dl", ["class": "facts"], facts) + files.folded
  }

  private var files: DataTable {
    var table = DataTable("Files and hashes", ["file", "of", "bytes", "hash"], left: [0, 1, 3])
    for index in figures.list("run.files").indices {
      let key = "run.files.\(index)."
      let hash = figures.string(key + "hash")
      table.add([
        figures.name(key + "name"), figures.name(key + "of"), figures(key + "bytes", .count),
        hash.isEmpty ? "–" : .element("code", ["data-key": key + "hash"], Markup(hash)),
      ])
    }
    return table
  }
}
