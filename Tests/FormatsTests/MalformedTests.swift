import Foundation
import IngotFormats
import IngotModels
import IngotQuantization
import IngotSystem
import IngotTensors
import Testing

/// Tests/Fixtures/malformed: every case is refused with words that say where and what, at once.
@Suite struct MalformedTests {
  static let folder = repository + "/Tests/Fixtures/malformed"

  struct Case: Sendable {
    var name: String
    var path: String
    var target: String
    /// What the message must contain; nil for files that are good.
    var expects: [String]?
  }

  static func cases(_ target: String) throws -> [Case] {
    let path = folder + "/cases.json"
    let list = try #require(try JSON.parse(try content(path), path: path).array)
    return try list.map { entry in
      Case(
        name: try #require(entry["name"]?.string), path: folder + "/" + (try #require(entry["path"]?.string)),
        target: try #require(entry["target"]?.string), expects: entry["expects"]?.array?.compactMap(\.string))
    }.filter { $0.target == target }
  }

  /// Runs `read` over the cases of a target.
  private func hold(_ target: String, atLeast count: Int, _ read: (String) throws -> Void) throws {
    let cases = try Self.cases(target)
    #expect(cases.count >= count, "\(target)")
    for item in cases {
      var error: FormatError?
      let duration = try time { error = try refusal { try read(item.path) } }
      #expect(duration < .seconds(1), "\(item.name)")
      guard let expects = item.expects else {
        #expect(error == nil, "\(item.name): \(error?.description ?? "")")
        continue
      }
      let found = try #require(error, "\(item.name) was read")
      #expect(!found.expected.isEmpty && !found.found.isEmpty, "\(item.name)")
      // Names of cases hold some of the words: they are looked for without the folder.
      let text = found.description.replacingOccurrences(of: Self.folder + "/" + target + "/", with: "")
      for words in expects { #expect(text.contains(words), "\(item.name): \(text)") }
      for scalar in text.unicodeScalars { #expect(scalar.value >= 0x20, "\(item.name): a control character") }
    }
    print("torture: \(cases.count { $0.expects != nil }) malformed: \(target)")
  }

  @Test func headers() throws {
    try hold("header", atLeast: 90) { path in
      _ = try SafeTensorsHeader(path: path)
    }
  }

  /// A fault in one tensor's entry names the tensor and a byte.
  @Test func faultsOfEntriesNameTensorAndByte() throws {
    for item in try Self.cases("header") where item.expects?.contains("a.weight") == true {
      let error = try refusal { _ = try SafeTensorsHeader(path: item.path) }
      let found = try #require(error, "\(item.name)")
      #expect(found.tensor != nil && found.offset != nil, "\(item.name): \(found)")
    }
  }

  @Test func checkpoints() throws { try hold("safetensors", atLeast: 30) { _ = try Model.read($0) } }

  @Test func configs() throws { try hold("config", atLeast: 70) { _ = try Model.read($0) } }

  @Test func indexes() throws { try hold("index", atLeast: 40) { _ = try Model.read($0) } }

  @Test func artifacts() throws { try hold("ingot", atLeast: 6) { _ = try Model.read($0) } }

  @Test func recipes() throws { try hold("recipe", atLeast: 14) { _ = try Recipe.named($0) } }
}
