extension Recipe {
  /// Recipes for llama.cpp. Those under its own names give its mixes, as it chooses them without an importance matrix where
  /// it makes them without one, with its extra care for models of exactly eight experts; `_moe` spends bits on attention, embedding and
  /// head, which are 2 % of a mixture's weights; `_pure` has one type for every linear layer, to compare types like with like. Rows that are no multiple of 256 weights
  /// get the type that llama.cpp takes instead.
  ///
  /// Source of the mixes: llama.cpp's choice of tensor types (src/llama-quant.cpp).
  static let ggufTexts = [
    """
    name: q8_0
    summary: llama.cpp's Q8_0, 8 bits everywhere
    format: gguf
    rules:
      - encoding: q8_0
    """,
    """
    name: q6_k
    summary: llama.cpp's Q6_K, 6 bits everywhere
    format: gguf
    fallback: {q6_k: q8_0}
    rules:
      - {parts: [key, value], expert-count: 8, encoding: q8_0}
      - encoding: q6_k
    """,
    """
    name: q5_k_m
    summary: llama.cpp's Q5_K_M, 5 bits; head, and values and down projections of half the layers, at 6
    format: gguf
    fallback: {q5_k: q5_1, q6_k: q8_0}
    rules:
      - {parts: [key, value], expert-count: 8, encoding: q8_0}
      - {parts: head, encoding: q6_k}
      - {parts: [value, down], layers: more-bits, encoding: q6_k}
      - encoding: q5_k
    """,
    """
    name: q4_k_moe
    summary: Q4_K_M's experts; attention at 8 bits, embedding and head at 6
    format: gguf
    fallback: {q4_k: q5_0, q6_k: q8_0}
    rules:
      - {parts: attention, encoding: q8_0}
      - {parts: [embedding, head], encoding: q6_k}
      - {parts: down, layers: more-bits, encoding: q6_k}
      - encoding: q4_k
    """,
    """
    name: q4_k_m
    summary: llama.cpp's Q4_K_M, 4 bits; head, and values and down projections of half the layers, at 6
    format: gguf
    fallback: {q4_k: q5_0, q5_k: q5_1, q6_k: q8_0}
    rules:
      - {parts: [key, value], expert-count: 8, encoding: q8_0}
      - {parts: attention_output, expert-count: 8, encoding: q5_k}
      - {parts: head, encoding: q6_k}
      - {parts: [value, down], layers: more-bits, encoding: q6_k}
      - encoding: q4_k
    """,
    """
    name: q4_k_s
    summary: llama.cpp's Q4_K_S, 4 bits; first values and down projections at 5, head at 6
    format: gguf
    fallback: {q4_k: q5_0, q5_k: q5_1, q6_k: q8_0}
    rules:
      - {parts: [key, value], expert-count: 8, encoding: q8_0}
      - {parts: attention_output, expert-count: 8, encoding: q5_k}
      - {parts: head, encoding: q6_k}
      - {parts: value, layers: first 4, encoding: q5_k}
      - {parts: down, layers: first 1/8, encoding: q5_k}
      - encoding: q4_k
    """,
    """
    name: mxfp4_moe
    summary: llama.cpp's MXFP4_MOE, experts as MXFP4, the rest at 8 bits
    format: gguf
    rules:
      - {parts: experts, encoding: mxfp4}
      - encoding: q8_0
    """,
    """
    name: iq4_xs
    summary: llama.cpp's IQ4_XS, 4.25 bits; values and first down projections at 5, head at 6
    format: gguf
    fallback: {q5_k: q5_1, q6_k: q8_0, iq4_xs: iq4_nl}
    rules:
      - {parts: [key, value], expert-count: 8, encoding: q8_0}
      - {parts: attention_output, expert-count: 8, encoding: q5_k}
      - {parts: head, encoding: q6_k}
      - {parts: value, queries-per-key: 4, encoding: q5_k}
      - {parts: down, layers: first 1/8, encoding: q5_k}
      - encoding: iq4_xs
    """,
    """
    name: q3_k_moe
    summary: Q3_K_M's experts; attention at 8 bits, embedding and head at 6
    format: gguf
    fallback: {q3_k: q4_0, q4_k: q5_0, q5_k: q5_1, q6_k: q8_0}
    rules:
      - {parts: attention, encoding: q8_0}
      - {parts: [embedding, head], encoding: q6_k}
      - {parts: down, layers: first 1/16, encoding: q5_k}
      - {parts: down, encoding: q4_k}
      - encoding: q3_k
    """,
    """
    name: q3_k_m
    summary: llama.cpp's Q3_K_M, 3 bits; values, attention's output and down projections at 4 and 5, head at 6
    format: gguf
    fallback: {q3_k: q4_0, q4_k: q5_0, q5_k: q5_1, q6_k: q8_0}
    rules:
      - {parts: [key, value], expert-count: 8, encoding: q8_0}
      - {parts: attention_output, expert-count: 8, encoding: q5_k}
      - {parts: head, encoding: q6_k}
      - {parts: value, layers: first 2, encoding: q5_k}
      - {parts: down, layers: first 1/16, encoding: q5_k}
      - {parts: [value, attention_output, down], encoding: q4_k}
      - encoding: q3_k
    """,
    """
    name: q2_k
    summary: llama.cpp's Q2_K, 2 bits; attention's output and down projections at 3, values at 4, head at 6
    format: gguf
    fallback: {q2_k: q4_0, q3_k: q4_0, q4_k: q5_0, q5_k: q5_1, q6_k: q8_0}
    rules:
      - {parts: [key, value], expert-count: 8, encoding: q8_0}
      - {parts: attention_output, expert-count: 8, encoding: q5_k}
      - {parts: head, encoding: q6_k}
      - {parts: value, queries-per-key: 4, encoding: q4_k}
      - {parts: [value, attention_output, down], encoding: q3_k}
      - encoding: q2_k
    """,
    """
    name: iq3_m
    summary: llama.cpp's IQ3_M, 3.44 bits; values, attention's output and first down projections at 4, head at 6
    format: gguf
    fallback: {q4_k: q5_0, q6_k: q8_0}
    rules:
      - {parts: [key, value], expert-count: 8, encoding: q8_0}
      - {parts: attention_output, expert-count: 8, encoding: q5_k}
      - {parts: down, layers: more-bits, expert-count: 8, encoding: q4_k}
      - {parts: head, encoding: q6_k}
      - {parts: [value, attention_output], encoding: q4_k}
      - {parts: down, layers: first 1/8, encoding: q4_k}
      - encoding: iq3_s
    """,
    """
    name: iq3_s
    summary: llama.cpp's IQ3_S, 3.44 bits; values at 4, head at 6
    format: gguf
    fallback: {q4_k: q5_0, q6_k: q8_0}
    rules:
      - {parts: [key, value], expert-count: 8, encoding: q8_0}
      - {parts: attention_output, expert-count: 8, encoding: q5_k}
      - {parts: head, encoding: q6_k}
      - {parts: value, queries-per-key: 4, encoding: q4_k}
      - encoding: iq3_s
    """,
    """
    name: iq3_xs
    summary: llama.cpp's IQ3_XS, 3.3 bits; queries, keys, gate and up of most layers at 3.06, head at 6
    format: gguf
    fallback: {q4_k: q5_0, q6_k: q8_0}
    rules:
      - {parts: [key, value], expert-count: 8, encoding: q8_0}
      - {parts: attention_output, expert-count: 8, encoding: q5_k}
      - {parts: head, encoding: q6_k}
      - {parts: value, queries-per-key: 4, encoding: q4_k}
      - {parts: [query, key], encoding: iq3_xxs}
      - {parts: [gate, up], layers: [first 1/8, last 1/8], encoding: iq3_s}
      - {parts: [gate, up], encoding: iq3_xxs}
      - encoding: iq3_s
    """,
    """
    name: iq3_xxs
    summary: llama.cpp's IQ3_XXS, 3.06 bits, as with an importance matrix; queries and keys at 2.56, head at 5
    format: gguf
    fallback: {q4_k: q5_0, q5_k: q8_0}
    rules:
      - {parts: [key, value], expert-count: 8, encoding: q8_0}
      - {parts: attention_output, expert-count: 8, encoding: q5_k}
      - {parts: head, encoding: q5_k}
      - {parts: [embedding, attention_output], encoding: iq3_s}
      - {parts: value, queries-per-key: 4, encoding: q4_k}
      - {parts: [query, key], encoding: iq2_s}
      - encoding: iq3_xxs
    """,
    """
    name: iq2_m
    summary: llama.cpp's IQ2_M, 2.56 bits; attention's output, first down projections and embedding at 3.44, head at 5
    format: gguf
    fallback: {q4_k: q5_0, q5_k: q8_0}
    rules:
      - {parts: attention_output, expert-count: 8, encoding: q5_k}
      - {parts: head, encoding: q5_k}
      - {parts: value, queries-per-key: 4, encoding: q4_k}
      - {parts: value, least-experts: 4, encoding: q4_k}
      - {parts: key, expert-count: 8, encoding: q4_k}
      - {parts: down, layers: first 1/8, encoding: iq3_s}
      - {parts: [embedding, value, attention_output], encoding: iq3_s}
      - encoding: iq2_s
    """,
    """
    name: iq2_s
    summary: llama.cpp's IQ2_S, 2.31 bits; attention's output, first down projections and embedding at 3.44, head at 5
    format: gguf
    fallback: {q4_k: q5_0, q5_k: q8_0}
    rules:
      - {parts: attention_output, expert-count: 8, encoding: q5_k}
      - {parts: head, encoding: q5_k}
      - {parts: value, queries-per-key: 4, encoding: q4_k}
      - {parts: value, least-experts: 4, encoding: q4_k}
      - {parts: key, expert-count: 8, encoding: q4_k}
      - {parts: down, layers: first 1/8, encoding: iq3_s}
      - {parts: [embedding, value, attention_output], encoding: iq3_s}
      - encoding: iq2_xs
    """,
    """
    name: iq2_xs
    summary: llama.cpp's IQ2_XS, 2.31 bits; first down projections and embedding at 2.63, values at 4, head at 5
    format: gguf
    fallback: {q2_k: q4_0, q4_k: q5_0, q5_k: q8_0}
    rules:
      - {parts: attention_output, expert-count: 8, encoding: q5_k}
      - {parts: head, encoding: q5_k}
      - {parts: value, queries-per-key: 4, encoding: q4_k}
      - {parts: value, least-experts: 4, encoding: q4_k}
      - {parts: key, expert-count: 8, encoding: q4_k}
      - {parts: down, layers: first 1/8, encoding: q2_k}
      - {parts: [embedding, value], encoding: q2_k}
      - encoding: iq2_xs
    """,
    """
    name: iq2_xxs
    summary: llama.cpp's IQ2_XXS, 2.06 bits; first down projections and embedding at 2.63, values at 4, head at 5
    format: gguf
    fallback: {q2_k: q4_0, q4_k: q5_0, q5_k: q8_0}
    rules:
      - {parts: attention_output, expert-count: 8, encoding: q5_k}
      - {parts: head, encoding: q5_k}
      - {parts: value, queries-per-key: 4, encoding: q4_k}
      - {parts: value, least-experts: 4, encoding: q4_k}
      - {parts: key, expert-count: 8, encoding: q4_k}
      - {parts: down, layers: first 1/8, encoding: q2_k}
      - {parts: [embedding, value], encoding: q2_k}
      - encoding: iq2_xxs
    """,
    """
    name: iq1_m
    summary: llama.cpp's IQ1_M, 1.75 bits; attention's output at 2.06, first down projections at 2.63, head at 5
    format: gguf
    fallback: {q2_k: q4_0, q4_k: q5_0, q5_k: q8_0}
    rules:
      - {parts: attention_output, expert-count: 8, encoding: q5_k}
      - {parts: head, encoding: q5_k}
      - {parts: value, queries-per-key: 4, encoding: q4_k}
      - {parts: value, least-experts: 4, encoding: q4_k}
      - {parts: key, expert-count: 8, encoding: q4_k}
      - {parts: down, layers: first 1/8, encoding: q2_k}
      - {parts: [embedding, value], encoding: q2_k}
      - {parts: attention_output, encoding: iq2_xxs}
      - encoding: iq1_m
    """,
    """
    name: iq1_s
    summary: llama.cpp's IQ1_S, 1.56 bits; attention's output at 2.06, first down projections at 2.63, head at 5
    format: gguf
    fallback: {q2_k: q4_0, q4_k: q5_0, q5_k: q8_0}
    rules:
      - {parts: attention_output, expert-count: 8, encoding: q5_k}
      - {parts: head, encoding: q5_k}
      - {parts: value, queries-per-key: 4, encoding: q4_k}
      - {parts: value, least-experts: 4, encoding: q4_k}
      - {parts: key, expert-count: 8, encoding: q4_k}
      - {parts: down, layers: first 1/8, encoding: q2_k}
      - {parts: [embedding, value], encoding: q2_k}
      - {parts: attention_output, encoding: iq2_xxs}
      - encoding: iq1_s
    """,
    """
    name: q4_k_pure
    summary: Q4_K for every linear layer; embedding and head BF16
    format: gguf
    rules:
      - {parts: [embedding, head], encoding: bf16}
      - encoding: q4_k
    """,
    """
    name: q4_0_pure
    summary: Q4_0 for every linear layer; embedding and head BF16
    format: gguf
    rules:
      - {parts: [embedding, head], encoding: bf16}
      - encoding: q4_0
    """,
    """
    name: q3_k_pure
    summary: Q3_K for every linear layer; embedding and head BF16
    format: gguf
    rules:
      - {parts: [embedding, head], encoding: bf16}
      - encoding: q3_k
    """,
  ]
}
