/// Names that users know from other tools, and what they are called here.
enum ForeignOptions {
  private static let options: [(names: [String], hint: String)] = [
    (["--imatrix", "--imatrix-file"], "--importance FILE takes llama.cpp's importance matrices too"),
    (
      [
        "--outtype", "--ftype", "--qtype", "--type", "-q", "--quantize", "--q-bits", "--wbits", "--bits",
        "--w-bit", "--quant", "--quantization", "--dtype",
      ], "--recipe NAME says how many bits ('ingot recipes' lists them)"
    ),
    (
      ["--group-size", "--q-group-size", "--groupsize", "--q-mode"],
      "groups are part of a recipe: 'ingot recipes int4' prints one to change"
    ),
    (
      ["--outfile", "--mlx-path", "--output-dir", "--out-dir", "--save-path", "--out"],
      "-o PATH is the output"
    ),
    (["-t", "--nthreads", "--n-threads"], "--threads N"),
    (
      ["--model", "-m", "--hf-path", "--model-id", "--repo-id"],
      "the model is an argument: ingot COMMAND MODEL"
    ),
    (
      ["--calib", "--calib-data", "--calibration", "--dataset", "--calibration-data", "-f"],
      "'ingot calibrate MODEL --text FILE -o X.calib', then --importance X.calib"
    ),
    (["--ctx-size", "-c", "--ctx", "--max-seq-len", "--seqlen"], "--context N"),
    (["--pure"], "--recipe q4_k_pure has one type for all tensors"),
    (["--split-max-size", "--shard-size", "--max-shard-size"], "--split-size SIZE"),
    (["--dry-run"], "'ingot plan MODEL --recipe NAME' says the size without writing"),
    (["--overwrite", "--allow-overwrite", "-y"], "--force"),
    (["--temp"], "--temperature T"),
    (["--n-predict", "--max-new-tokens"], "--max-tokens N"),
    (["--file"], "--text FILE"),
  ]

  private static let commands: [(names: [String], hint: String)] = [
    (["imatrix"], "'ingot calibrate MODEL --text FILE -o X.gguf' makes an importance matrix"),
    (["info", "show", "ls", "dump"], "ingot inspect MODEL"),
    (["perplexity", "ppl", "eval", "compare", "diff"], "ingot verify X --against ORIGINAL --text FILE"),
    (["run", "chat", "cli"], "ingot generate MODEL"),
    (["server"], "ingot serve MODEL"),
    (["export", "dequantize"], "ingot convert MODEL -o OUT, with --decode for dense values"),
    (["validate", "verify-checksums", "hash"], "ingot check FILE"),
    (
      ["download", "pull"], "--download keeps a model of the Hub: ingot inspect ORGANIZATION/NAME --download"
    ),
  ]

  /// - Parameters:
  ///   - message: the parser's.
  ///   - arguments: of the command line, without the program's name.
  static func hint(_ message: String, _ arguments: [String]) -> String? {
    // What is missing is said first, although it is there under another name.
    if message.hasPrefix("Unknown option") || message.hasPrefix("Missing expected argument") {
      let given = Set(arguments.map { String($0.prefix { $0 != "=" }) })
      return options.first { !given.isDisjoint(with: $0.names) }?.hint
    }
    guard let first = arguments.first, message.contains("'\(first)'") else { return nil }
    return commands.first { $0.names.contains(first) }?.hint
  }
}
