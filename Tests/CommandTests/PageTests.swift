import Foundation
import IngotSystem
import IngotTensors
import Testing

/// Pages are written by the rules of outputs.
@Suite struct PageTests {
  static let text = Command.repository.appending(path: "Tests/Fixtures/text/prose.txt").path

  @Test func aPageReplacesNothingUnasked() throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    let page = folder + "/page.html"
    try Data("mine".utf8).write(to: URL(fileURLWithPath: page))
    let commands = [
      [
        "verify", Command.nano, "--against", Command.nano, "--text", Self.text, "--context", "16", "--chunks",
        "1",
      ],
      ["plan", Command.nano], ["plan", Command.nano, "--recipe", "int4"],
      ["plan", Command.nano, "--machine", "mac-96"], ["plan", Command.nano, "--fit", "64GB"],
    ]
    for command in commands {
      let refused = try Command.run(command + ["--html", page])
      #expect(refused.status == 1 && refused.error.contains("--force to replace"), "\(refused.error)")
      #expect(refused.output.isEmpty, "refused before the work")
      #expect(try String(contentsOfFile: page, encoding: .utf8) == "mine")
    }
    for command in commands {
      let replaced = try Command.run(command + ["--html", page, "--force"])
      #expect(replaced.status == 0, "\(replaced.error)")
      let html = try String(contentsOfFile: page, encoding: .utf8)
      #expect(html.hasPrefix("<!DOCTYPE html>") && html.contains("m2-nano"))
    }
    #expect(try Folder.names(folder) == ["page.html"], "nothing else is left")
    let nowhere = try Command.run(commands[1] + ["--html", folder + "/none/page.html"])
    #expect(nowhere.status == 1 && nowhere.error.contains("/none"), "\(nowhere.error)")
    #expect(
      try Command.run(commands[1] + ["--html", folder]).status == 64, "a folder is no place for a page")
  }

  /// A model outside its tolerances has a page too, which says so.
  @Test func aPageOfWhatIsOutsideTolerance() throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    let (artifact, page) = (folder + "/x.ingot", folder + "/page.html")
    #expect(try Command.run("quantize", Command.nano, "--recipe", "int3", "-o", artifact).status == 0)
    let outcome = try Command.run(
      "verify", artifact, "--against", Command.nano, "--text", Self.text, "--context", "64", "--chunks", "1",
      "--worst", "3", "--max-kld", "1e-9", "--html", page, "--json")
    #expect(outcome.status == 2)
    let html = try String(contentsOfFile: page, encoding: .utf8)
    #expect(html.contains("Outside of what was asked for"))
    let report = try outcome.json()
    #expect(report["worst"]?.array?.count == 3)
    #expect(report["worst"]?.array?[0]["next"]?["text"]?.string != nil)
    #expect(report["candidate"]?["expertBits"]?.array?.count == 4)
    #expect(report["run"]?["files"]?.array?.last?["hash"]?.string?.hasPrefix("xxh3:") == true)
  }
}
