"""Tensors that families of models have in common, as (name, dtype, shape), in the order in which a model uses them."""

import math
from dataclasses import dataclass, field

BLOCK = 128


@dataclass
class Published:
    """A published model: its config, its tensors (a function that gives them), and figures that they are held against,
    which come from elsewhere.

    Figures are counts of values, without scales of quantized weights: `parameters` of the text model with embedding and
    head, `active` of them for one token, likewise, `prediction` of tensors for multi-token prediction. `tensors` and
    `elements` are of the files: all that is stored, scales included. None: no figure is known.
    """

    config: dict
    tensors: object
    parameters: int
    active: int
    prediction: int = 0
    tensors_in_files: int | None = None
    elements_in_files: int | None = None
    # What other models of the checkpoint have: an image encoder.
    others: int = 0
    # What spec sheets say of it, as claims that `ingot inspect` judges.
    claims: dict = field(default_factory=dict)

    def check(self, shapes):
        """Holds what was made against what is known of the files."""
        shapes = list(shapes)
        for known, made in (
                (self.tensors_in_files, len(shapes)), (self.elements_in_files, sum(math.prod(s) for s in shapes))):
            assert known in (None, made), f"made {made:,}, known to be {known:,}"


def values(tensors):
    return sum(math.prod(shape) for _, _, shape in tensors)


def blocks(n):
    """Scale blocks along a dimension; the last one may be short."""
    return -(-n // BLOCK)


def dense(name, *shape, dtype="BF16"):
    yield name, dtype, list(shape)


def fp8(name, rows, columns):
    """FP8 weights with one F32 scale for each block of 128 x 128."""
    yield name, "F8_E4M3", [rows, columns]
    yield name + "_scale_inv", "F32", [blocks(rows), blocks(columns)]


def packed_int4(name, rows, columns, group=32):
    """Eight codes of 4 bits in a word, with one scale for each group, and the shape before packing."""
    yield name + "_packed", "I32", [rows, columns // 8]
    yield name + "_scale", "BF16", [rows, columns // group]
    yield name + "_shape", "I32", [2]


def mlp(prefix, hidden, width, weight=dense, names=("gate_proj", "up_proj", "down_proj")):
    """A gated feed-forward: gate, up and down."""
    for name, rows, columns in zip(names, (width, width, hidden), (hidden, hidden, width)):
        yield from weight(f"{prefix}{name}.weight", rows, columns)


def experts(prefix, count, hidden, width, weight=dense, names=("gate_proj", "up_proj", "down_proj")):
    for expert in range(count):
        yield from mlp(f"{prefix}experts.{expert}.", hidden, width, weight, names)


def attention(prefix, hidden, heads, kv_heads, head_dim, bias=(), gated=False):
    """Grouped-query attention: query, key, value and output, and biases of those named; with an output gate, each head's
    query has its gate behind it."""
    q, kv = heads * head_dim, kv_heads * head_dim
    for name, rows, columns in (
            ("q", 2 * q if gated else q, hidden), ("k", kv, hidden), ("v", kv, hidden), ("o", hidden, q)):
        yield from dense(f"{prefix}{name}_proj.weight", rows, columns)
        if name in bias:
            yield from dense(f"{prefix}{name}_proj.bias", rows)


def query_key_norms(prefix, head_dim):
    yield from dense(f"{prefix}q_norm.weight", head_dim)
    yield from dense(f"{prefix}k_norm.weight", head_dim)


def norms(layer, hidden, dtype="BF16"):
    yield from dense(f"{layer}input_layernorm.weight", hidden, dtype=dtype)
    yield from dense(f"{layer}post_attention_layernorm.weight", hidden, dtype=dtype)


def framed(vocabulary, hidden, layers, prefix="model.", head="lm_head.weight", norm_dtype="BF16"):
    """Embedding, layers, final norm and head."""
    yield from dense(f"{prefix}embed_tokens.weight", vocabulary, hidden)
    yield from layers
    yield from dense(f"{prefix}norm.weight", hidden, dtype=norm_dtype)
    yield from dense(head, vocabulary, hidden)
