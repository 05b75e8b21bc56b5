import Foundation
import IngotModels
import IngotSystem
import IngotTensors
import IngotTokenizer
import Testing

/// Tests/Fixtures/malformed, target `tokenizer`: every file is refused with words that say where and what.
@Suite struct TokenizerRefusalTests {
  static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appending(path: "Fixtures/malformed").path

  static let cases: [JSON] = {
    let path = folder + "/cases.json"
    let list = (try? JSON.parse(Bytes.mapping(path).array, path: path))?.array ?? []
    return list.filter { $0["target"] == "tokenizer" }
  }()

  @Test func everyCase() throws {
    #expect(Self.cases.count >= 25)
    for item in Self.cases {
      let name = try #require(item["name"]?.string)
      let path = Self.folder + "/" + (try #require(item["path"]?.string))
      let bytes = try Bytes.mapping(path).array
      var error: FormatError?
      let took = ContinuousClock().measure {
        do throws(FormatError) { _ = try Tokenizer(json: bytes, path: path, config: nil) } catch let fault {
          error = fault
        }
      }
      #expect(took < .seconds(5), "\(name)")
      guard item["ok"] != true else {
        #expect(error == nil, "\(name): \(error?.description ?? "")")
        continue
      }
      let text = try #require(error, "\(name) was read").description
      for words in item["expects"]?.array?.compactMap(\.string) ?? [] {
        #expect(text.contains(words), "\(name): \(text)")
      }
    }
  }
}
