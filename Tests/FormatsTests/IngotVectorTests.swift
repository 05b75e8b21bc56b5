import IngotFormats
import IngotKernels
import IngotModels
import IngotSystem
import IngotTensors
import Testing

/// The files of formats/ingot/vectors, which another writer made from the specification.
@Suite struct IngotVectorTests {
  @Test func goodFilesDecodeToTheExpectedValues() throws {
    let vectors = try Vectors.all.get()
    #expect(vectors.good.count >= 6)
    for vector in vectors.good {
      let scratch = try Scratch()
      let model = try Model.read(try scratch.write(vector.parts))
      let tensors = Dictionary(uniqueKeysWithValues: model.tensors.map { ($0.name, $0) })
      #expect(tensors.count == vector.tensors.count)
      for expected in vector.tensors {
        let tensor = try #require(tensors[expected.name], "\(vector.name): \(expected.name)")
        #expect(tensor.shape == expected.shape && tensor.role.kind == expected.kind)
        if let values = expected.values {
          #expect(try tensor.valuesDigest() == values, "\(vector.name): \(expected.name) \(tensor.encoding)")
        } else {
          #expect(!tensor.encoding.isDecodable)
          #expect(try tensor.planesDigest() == expected.bytes, "\(vector.name): \(expected.name)")
        }
      }
      let files = model.sideFiles.map { ($0.name, hexadecimal(SHA256.hash($0.bytes.span))) }
      #expect(Dictionary(uniqueKeysWithValues: files) == vector.sideFiles)
    }
  }

  @Test func goodFilesHaveNoFault() async throws {
    for vector in try Vectors.all.get().good {
      let scratch = try Scratch()
      for part in vector.parts {
        _ = try scratch.write(vector.parts)
        let report = await Format.check(scratch(part.name), workers: 2)
        #expect(report.problems.isEmpty, "\(vector.name): \(report.problems)")
        #expect(report.tensors == vector.tensors.count)
      }
    }
  }

  @Test func vectorsCoverEveryEncoding() throws {
    var encodings = Set<Encoding>()
    for vector in try Vectors.all.get().good {
      let scratch = try Scratch()
      encodings.formUnion(try Model.read(try scratch.write(vector.parts)).tensors.map(\.encoding))
    }
    for bits in Affine.widths {
      for offset in Affine.Offset.allCases {
        for scale in [DType.f16, .bf16, .f32] {
          for group in [16, 32, 64, 128, nil] {
            let scheme = try #require(Affine(bits: bits, group: group, offset: offset, scale: scale))
            #expect(encodings.contains(.affine(scheme)), "\(scheme)")
          }
        }
      }
    }
    for type in DType.allCases { #expect(encodings.contains(.dense(type)), "\(type)") }
    for code in [DType.f8e4m3, .f8e5m2] {
      for scale in [DType.f16, .bf16, .f32] {
        let found = encodings.contains {
          if case .blockScaled(let scheme) = $0 {
            scheme.code == code && scheme.scale == scale
          } else {
            false
          }
        }
        #expect(found, "\(code) \(scale)")
      }
    }
    for type in GGMLType.allCases { #expect(encodings.contains(.ggml(type)), "\(type)") }
    for halves in 3...8 {
      for window in 8...16 where halves == 5 || [8, 9, 12, 16].contains(window) {
        let scheme = try #require(Trellis(halves: halves, window: window))
        #expect(encodings.contains(.trellis(scheme)), "\(scheme)")
      }
    }
    for code in [DType.f4, .f8e4m3] {
      for group in [16, 32] {
        for (scale, global) in [
          (DType.f8e8m0, MicroScaled.Global.none), (.f8e4m3, .none), (.f8e4m3, .divisor), (.f8e4m3, .factor),
        ] {
          let scheme = try #require(
            MicroScaled(code: code, group: group, scale: scale, global: global))
          #expect(encodings.contains(.microScaled(scheme)), "\(scheme)")
        }
      }
    }
  }

  @Test func badFilesAreRefusedInWords() throws {
    let bad = try Vectors.all.get().bad
    #expect(bad.count >= 320)
    #expect(Set(bad.map(\.name)).count == bad.count)
    print("torture: \(bad.count) malformed: .ingot vectors")
    for vector in bad where vector.found != "check" {
      let scratch = try Scratch()
      _ = try scratch.write(vector.parts)
      var error: FormatError?
      let duration = try time { error = try refusal { _ = try Model.read(scratch(vector.opened)) } }
      #expect(duration < .seconds(1), "\(vector.name)")
      let text = try #require(error, "\(vector.name) was read").description
      for words in vector.says { #expect(text.contains(words), "\(vector.name): \(text)") }
      #expect(text.hasPrefix(scratch.path), "\(vector.name): \(text)")
    }
  }

  @Test func badPayloadIsFoundByCheck() async throws {
    let bad = try Vectors.all.get().bad.filter { $0.found == "check" }
    #expect(bad.count >= 14)
    for vector in bad {
      let scratch = try Scratch()
      _ = try scratch.write(vector.parts)
      _ = try Model.read(scratch(vector.opened))
      let report = await Format.check(scratch(vector.opened), workers: 2)
      #expect(!report.problems.isEmpty, "\(vector.name)")
      let problem = try #require(report.problems.first)
      let text = "\(problem.path): \(problem.tensor ?? ""): byte \(problem.offset ?? 0): \(problem.what)"
      for words in vector.says { #expect(text.contains(words), "\(vector.name): \(text)") }
    }
  }

  /// What `Model.read` refuses, `Format.check` reports, and the other way round.
  @Test func checkAgreesWithReading() async throws {
    for vector in try Vectors.all.get().bad where vector.found != "check" {
      let scratch = try Scratch()
      _ = try scratch.write(vector.parts)
      let report = await Format.check(scratch(vector.opened), workers: 1)
      #expect(!report.problems.isEmpty, "\(vector.name)")
    }
  }
}
