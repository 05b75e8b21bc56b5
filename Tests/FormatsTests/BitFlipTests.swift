import Foundation
import IngotFormats
import IngotModels
import IngotSystem
import IngotTensors
import Testing

/// Every bit of an artifact that is flipped is found, and the fault is located. $INGOT_FLIPS says how many bits are
/// flipped, spread evenly over the file; scripts/tools torture asks for more than 100,000.
@Suite struct BitFlipTests {
  private static let wanted =
    ProcessInfo.processInfo.environment["INGOT_FLIPS"].flatMap { Int($0) } ?? 1_500

  @Test func everyFlippedBitIsFoundAndLocated() async throws {
    let scratch = try Scratch()
    let path = scratch("x.ingot")
    let source = repository + "/Tests/Fixtures/malformed/safetensors/good"
    _ = try await Model.read(source).write(path, as: .ingot, .with())
    let model = try Model.read(path)
    // What stands at each byte of a plane.
    var owners: [(range: Range<Int>, tensor: String)] = []
    for tensor in model.tensors {
      let planes = try #require(tensor.encoding.planes(tensor.shape))
      for (plane, offset) in zip(planes, IngotLayout.planeOffsets(planes).offsets) where plane.bytes > 0 {
        let start = Int(tensor.offset) + offset
        owners.append((start..<start + plane.bytes, tensor.name))
      }
    }
    owners.sort { $0.range.lowerBound < $1.range.lowerBound }
    let original = try content(path)
    let bits = 8 * original.count
    let count = min(Self.wanted, bits)
    // Odd strides visit each bit of a byte; neighbours go to different workers' copies.
    let workers = 2
    let failures = try await withThrowingTaskGroup(of: [String].self) { group in
      for worker in 0..<workers {
        let copy = try scratch.write("copy\(worker).ingot", original)
        let owners = owners
        group.addTask {
          let file = try File(continuing: copy)
          var failures: [String] = []
          for index in stride(from: worker, to: count, by: workers) {
            let bit = index * (bits / count) + index % (bits / count)
            let (byte, mask) = (bit / 8, UInt8(1) << UInt8(bit % 8))
            try file.write([original[byte] ^ mask], at: byte)
            let problems = await Format.check(copy, workers: 1).problems
            try file.write([original[byte]], at: byte)
            let owner = owners.first { $0.range.contains(byte) }?.tensor
            if problems.isEmpty {
              failures.append("bit \(bit % 8) of byte \(byte) was not found")
            } else if let owner, !problems.contains(where: { $0.tensor == owner }) {
              failures.append("byte \(byte) of \(owner): \(problems[0])")
            } else if problems.contains(where: { $0.path != copy || $0.what.isEmpty }) {
              failures.append("byte \(byte): \(problems[0])")
            }
          }
          return failures
        }
      }
      return try await group.reduce(into: []) { $0 += $1 }
    }
    for failure in failures.prefix(10) { Issue.record("\(failure)") }
    #expect(failures.isEmpty, "\(failures.count) of \(count)")
    print("torture: \(count) flipped")
  }
}
