// Quantizes a model and measures what that cost: quantize-and-verify MODEL OUTPUT TEXT
import Ingot

let (model, output, text) = (CommandLine.arguments[1], CommandLine.arguments[2], CommandLine.arguments[3])
print(try Model.read(model).parameters, "weights")

var quantize = QuantizeRequest(model, to: output)
quantize.choice = .recipe("int4")
let written = try await quantize.run()
print(written.bitsPerWeight, "bits per weight in", written.written.bytes, "bytes")

let verify = VerifyRequest(output, against: model, texts: TextSelection([text], chunks: 4))
let report = try await verify.run().report
print("mean KL divergence", report.divergence.mean.value, "same top token", report.sameTop)
