// Says what a model is made of, and what one of its tensors holds: inspect MODEL [TENSOR]
import Ingot

let checkpoint = try Checkpoint(CommandLine.arguments[1])
print(
  checkpoint.family, checkpoint.format, "\(checkpoint.layerCount) layers, \(checkpoint.expertCount) experts")
print("\(checkpoint.weightCount) weights, \(checkpoint.bitsPerWeight) bits each")

var bytes: [String: Int] = [:]
for tensor in checkpoint.tensors {
  bytes["\(tensor.kind) in \(tensor.encoding)", default: 0] += tensor.byteCount
}
for (kind, count) in bytes.sorted(by: { ($1.value, $0.key) < ($0.value, $1.key) }) {
  print("\(kind): \(count) bytes")
}

if CommandLine.arguments.count > 2 {
  let values = try checkpoint.values(of: CommandLine.arguments[2], rows: 0..<1)
  print("first row from \(values.min() ?? 0) to \(values.max() ?? 0)")
}
