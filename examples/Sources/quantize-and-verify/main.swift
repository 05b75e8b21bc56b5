// Quantizes a model and measures what that cost: quantize-and-verify MODEL OUTPUT TEXT
import Ingot

let (model, output, text) = (CommandLine.arguments[1], CommandLine.arguments[2], CommandLine.arguments[3])
print(try Checkpoint(model).weightCount, "weights")

let made = try await Quantization(of: model, to: output, recipe: "int4").run()
print(made.bitsPerWeight, "bits per weight in", made.byteCount, "bytes")

var verification = Verification(of: output, against: model, texts: [text])
verification.maximumContexts = 4
let drift = try await verification.run()
print("mean KL divergence", drift.divergence, "same top token", drift.sameTopToken)
