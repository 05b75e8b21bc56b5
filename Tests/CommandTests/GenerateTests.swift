import Foundation
import IngotSystem
import IngotTensors
import Testing

/// Answers of a model.
@Suite struct GenerateTests {
  private static let prompt = "The tool returned an error because the file"

  private func generate(_ words: String..., model: String = Command.nano) throws -> Command.Outcome {
    try Command.run(["generate", model] + words)
  }

  @Test func greedyTokensDependOnNeitherThreadsNorCache() throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    let outcome = try generate("--raw", "--prompt", Self.prompt, "-n", "24", "--temperature", "0", "--json")
    #expect(outcome.status == 0, "\(outcome.error)")
    let json = try outcome.json()
    let tokens = (json["tokens"]?.array ?? []).compactMap(\.int)
    #expect(tokens.count == 24 || json["finish"] == "end", "\(json)")
    // That they follow from the logits of all tokens before is what GenerationTests compares.
    let again = try generate(
      "--raw", "--prompt", Self.prompt, "-n", "24", "--temperature", "0", "--threads", "3", "--cache", "f16",
      "--json")
    #expect(try again.json()["tokens"] == json["tokens"])
    let artifact = folder + "/x.ingot"
    #expect(try Command.run("quantize", Command.nano, "-o", artifact, "--recipe", "int8").status == 0)
    let quantized = try generate(
      "--raw", "--prompt", Self.prompt, "-n", "4", "--temperature", "0", "--json", model: artifact)
    #expect(quantized.status == 0, "\(quantized.error)")
    #expect(try quantized.json()["tokens"]?.array?.first == json["tokens"]?.array?.first)
  }

  @Test func aSeedGivesTheSameTextOnAnyThreads() throws {
    func text(_ seed: String, _ threads: String) throws -> String {
      let outcome = try generate(
        "--raw", "--prompt", Self.prompt, "-n", "16", "--temperature", "1", "--top-p", "0.95", "--seed", seed,
        "--threads", threads)
      #expect(outcome.status == 0 && outcome.error.contains("16 tokens"), "\(outcome.error)")
      return outcome.output
    }
    let first = try text("7", "1")
    #expect(try first == text("7", "2") && first != text("8", "2"))
  }

  @Test func roundedActivationsAreMeasured() throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    let artifact = folder + "/x.ingot"
    #expect(try Command.run("quantize", Command.nano, "-o", artifact, "--recipe", "int8").status == 0)
    func fast(_ threads: String) throws -> JSON {
      let outcome = try generate(
        "--raw", "--prompt", Self.prompt, "-n", "8", "--temperature", "0", "--json", "--fast", "--threads",
        threads, model: artifact)
      #expect(outcome.status == 0, "\(outcome.error)")
      return try outcome.json()
    }
    let one = try fast("1")
    #expect(one["fast"]?["roundedBytes"]?.int ?? 0 > 0 && one["fast"]?["f32Bytes"]?.array == [], "\(one)")
    #expect(try fast("3")["tokens"] == one["tokens"])
    // The original has nothing to round for, and says so.
    let original = try generate("--raw", "--prompt", Self.prompt, "-n", "2", "--fast")
    #expect(original.error.contains("0.0 % of the linear layers' bytes; in F32 for"), "\(original.error)")

    func verify(_ candidate: String, _ more: String...) throws -> JSON {
      let outcome = try Command.run(
        [
          "verify", candidate, "--against", Command.nano, "--text", CalibrateTests.text, "--context", "64",
          "--json",
        ] + more)
      #expect(outcome.status == 0, "\(outcome.error)")
      return try outcome.json()
    }
    func divergence(_ json: JSON) -> Double { json["klDivergence"]?["mean"]?.double ?? .nan }
    let exact = try verify(artifact)
    let rounded = try verify(artifact, "--fast", "--threads", "1")
    #expect(exact["run"]?["fast"] == .null && rounded["run"]?["fast"] == one["fast"])
    #expect(divergence(rounded) > divergence(exact) && divergence(rounded) < 0.01, "\(rounded)")
    #expect(try divergence(verify(artifact, "--fast", "--threads", "3")) == divergence(rounded))
    #expect(try divergence(verify(Command.nano, "--fast")) == 0)
  }

  @Test func textsEndAnAnswer() throws {
    let words = ["--raw", "--prompt", Self.prompt, "-n", "24", "--temperature", "0", "--json"]
    let whole = try Command.run(["generate", Command.nano] + words).json()["text"]?.string ?? ""
    let letters = Array(whole)
    try #require(letters.count > 12)
    let stop = String(letters[6..<9])
    let cut = try Command.run(["generate", Command.nano] + words + ["--stop", stop]).json()
    let end = try #require(whole.range(of: stop))
    #expect(cut["text"]?.string == String(whole[..<end.lowerBound]) && cut["finish"] == "stop", "\(cut)")
  }

  @Test func conversationsAreAnswered() throws {
    let folder = try Folder.temporary()
    defer { Folder.remove(folder) }
    let chat = folder + "/chat.json"
    try #"{"messages": [{"role": "user", "content": "What failed?"}]}"#.write(
      toFile: chat, atomically: true, encoding: .utf8)
    let file = try generate("--messages", chat, "-n", "8", "--temperature", "0", "--json")
    #expect(file.status == 0, "\(file.error)")
    let message = try generate("--prompt", "What failed?", "-n", "8", "--temperature", "0", "--json")
    #expect(try message.json()["tokens"] == file.json()["tokens"])
    #expect(try message.json()["promptTokens"]?.int ?? 0 > 6, "the template's tokens are around it")
    let raw = try generate("--raw", "--prompt", "What failed?", "-n", "8", "--temperature", "0", "--json")
    #expect(try raw.json()["promptTokens"]?.int ?? 0 < message.json()["promptTokens"]?.int ?? 0)
    // Two messages of a chat, the second on what was said before.
    let script = "printf 'What failed?\\n/reset\\nWhat failed?\\n\\n/exit\\nno more\\n' | \"$0\" \"$@\""
    let talk = try Command.run(
      ["-c", script, Command.executable.path, "generate", Command.nano, "-n", "8", "--temperature", "0"],
      program: URL(fileURLWithPath: "/bin/bash"))
    let answer = try message.json()["text"]?.string ?? ""
    #expect(talk.status == 0 && talk.output == answer + "\n" + answer + "\n", "\(talk)")
  }

  @Test func wrongRequestsAreRefused() throws {
    let long = try generate("--raw", "--prompt", Self.prompt, "--context", "4")
    #expect(long.status == 1 && long.error.contains("context of 4 tokens"), "\(long.error)")
    let wide = try generate("--raw", "--prompt", Self.prompt, "--context", "99999999")
    #expect(wide.status == 1 && wide.error.contains("99999999"), "\(wide.error)")
    #expect(try generate("--raw").status == 64)
    #expect(try generate("--prompt", "x", "--messages", "y").status == 64)
    #expect(try generate("--prompt", "x", "--top-p", "2").status == 64)
    let absent = try generate("--messages", "/nowhere/chat.json")
    #expect(absent.status == 1 && absent.error.contains("/nowhere/chat.json"), "\(absent.error)")
    let family = Command.repository.appending(path: "Tests/Fixtures/families/llama-plain").path
    let chat = try generate(model: family)
    #expect(chat.status == 1 && chat.error.contains("tokenizer"), "\(chat.error)")
  }
}
