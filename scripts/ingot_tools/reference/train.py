#!/usr/bin/env python3
"""Trains a small model of MiniMax-M2's architecture; saves its weights under the release's names.

    train.py CONFIG.json --data DATA --out STATE.pt [--steps N] [--threads 2]

DATA comes from prepare.py. The forward pass is written from the model's description and apart from
transformers', so that oracle.py on the result is a check of both. bfloat16 arithmetic on a CPU
differs between machines: the same seed gives the same model only on the same one.
"""

import argparse
import json
import math
import os
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


class Norm(nn.Module):
    """x · rsqrt(mean(x²) + eps) · weight, in F32."""

    def __init__(self, width, eps):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(width)), eps

    def forward(self, x):
        return F.rms_norm(x.float(), x.shape[-1:], self.weight, self.eps)


def random_matrix(*shape, fan):
    return nn.Parameter(torch.randn(*shape) * fan ** -0.5)


def rotate(x, cos, sin):
    """RoPE on the leading dimensions of each head, pairs half the rotary width apart."""
    turned, rest = x[..., :cos.shape[-1]], x[..., cos.shape[-1]:]
    low, high = turned.chunk(2, -1)
    return torch.cat((turned * cos + torch.cat((-high, low), -1) * sin, rest), -1)


class Attention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.head_dim = c["head_dim"]
        hidden = c["hidden_size"]
        q, kv = (c[k] * self.head_dim for k in ("num_attention_heads", "num_key_value_heads"))
        self.q = random_matrix(q, hidden, fan=hidden)
        self.k = random_matrix(kv, hidden, fan=hidden)
        self.v = random_matrix(kv, hidden, fan=hidden)
        self.o = random_matrix(hidden, q, fan=2 * q * c["num_hidden_layers"])
        # Over the whole projection, before it is split into heads and turned.
        self.q_norm, self.k_norm = Norm(q, c["rms_norm_eps"]), Norm(kv, c["rms_norm_eps"])

    def forward(self, x, cos, sin):
        def heads(y):
            return y.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)

        v = heads(F.linear(x, self.v))
        q = rotate(heads(self.q_norm(F.linear(x, self.q))), cos, sin).to(v.dtype)
        k = rotate(heads(self.k_norm(F.linear(x, self.k))), cos, sin).to(v.dtype)
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        return F.linear(out.transpose(1, 2).flatten(2), self.o)


class Experts(nn.Module):
    """Sigmoid router with a selection bias that keeps the experts evenly used, and SwiGLU experts."""

    def __init__(self, c):
        super().__init__()
        self.active, self.count = c["num_experts_per_tok"], c["num_local_experts"]
        self.bias_rate = c["training"]["bias_rate"]
        hidden, width = c["hidden_size"], c["intermediate_size"]
        self.gate = random_matrix(self.count, hidden, fan=hidden)
        self.w1 = random_matrix(self.count, width, hidden, fan=hidden)
        self.w3 = random_matrix(self.count, width, hidden, fan=hidden)
        self.w2 = random_matrix(self.count, hidden, width, fan=2 * width * c["num_hidden_layers"])
        self.register_buffer("bias", torch.zeros(self.count))

    def route(self, x):
        """(tokens, active) expert numbers chosen by p + bias, and their weights by p alone."""
        with torch.autocast("cpu", enabled=False):
            p = torch.sigmoid(F.linear(x.float(), self.gate))
            chosen = (p + self.bias).topk(self.active, -1).indices
            weights = p.gather(1, chosen)
            return chosen, weights / weights.sum(-1, keepdim=True)

    def forward(self, x):
        shape, x = x.shape, x.flatten(0, 1)
        chosen, weights = self.route(x)
        load = torch.bincount(chosen.flatten(), minlength=self.count)
        order = chosen.flatten().argsort(stable=True)
        tokens = order // self.active
        parts = []
        for e, rows in enumerate(x[tokens].split(load.tolist())):
            if len(rows):
                y = F.silu(F.linear(rows, self.w1[e])) * F.linear(rows, self.w3[e])
                parts.append(F.linear(y, self.w2[e]))
        y = torch.cat(parts).float() * weights.flatten()[order, None]
        if self.training:
            with torch.no_grad():
                self.bias += self.bias_rate * torch.sign(load.float().mean() - load)
        out = torch.zeros_like(x, dtype=torch.float32).index_add(0, tokens, y)
        return out.view(shape)


class Layer(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.before, self.after = (Norm(c["hidden_size"], c["rms_norm_eps"]) for _ in range(2))
        self.attention, self.experts = Attention(c), Experts(c)

    def forward(self, x, cos, sin):
        x = x + self.attention(self.before(x), cos, sin)
        return x + self.experts(self.after(x))


class Model(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.rotary, self.theta = c["rotary_dim"], c["rope_theta"]
        self.embedding = nn.Parameter(torch.randn(c["vocab_size"], c["hidden_size"]) * 0.5)
        self.layers = nn.ModuleList(Layer(c) for _ in range(c["num_hidden_layers"]))
        self.norm = Norm(c["hidden_size"], c["rms_norm_eps"])
        self.head = random_matrix(c["vocab_size"], c["hidden_size"], fan=100 * c["hidden_size"])

    def forward(self, ids):
        """(batch, tokens) ids to (batch, tokens, vocabulary) logits."""
        frequency = self.theta ** (-torch.arange(0, self.rotary, 2) / self.rotary)
        angle = torch.arange(ids.shape[1])[:, None] * frequency
        angle = torch.cat((angle, angle), -1)
        cos, sin = angle.cos(), angle.sin()
        x = self.embedding[ids]
        for layer in self.layers:
            x = layer(x, cos, sin)
        return F.linear(self.norm(x), self.head)

    def release_names(self):
        """Weights by the names of the release, F32."""
        out = {"model.embed_tokens.weight": self.embedding, "model.norm.weight": self.norm.weight,
               "lm_head.weight": self.head}
        for i, layer in enumerate(self.layers):
            p, attention, experts = f"model.layers.{i}.", layer.attention, layer.experts
            out[p + "input_layernorm.weight"] = layer.before.weight
            out[p + "post_attention_layernorm.weight"] = layer.after.weight
            out[p + "self_attn.q_norm.weight"] = attention.q_norm.weight
            out[p + "self_attn.k_norm.weight"] = attention.k_norm.weight
            for name in "qkvo":
                out[p + f"self_attn.{name}_proj.weight"] = getattr(attention, name)
            p += "block_sparse_moe."
            out[p + "gate.weight"] = experts.gate
            out[p + "e_score_correction_bias"] = experts.bias
            for name in ("w1", "w2", "w3"):
                for e, weight in enumerate(getattr(experts, name)):
                    out[p + f"experts.{e}.{name}.weight"] = weight
        return {k: v.detach().float().clone() for k, v in out.items()}


class Batches:
    """Random windows of token arrays, domains mixed by weight."""

    def __init__(self, folder, part, mix, context, seed):
        self.names, self.weights, self.context = list(mix), np.array(list(mix.values())), context
        self.ids = {n: np.load(os.path.join(folder, f"{n}.{part}.npy")) for n in mix}
        self.rng = np.random.default_rng(seed)
        short = [n for n, ids in self.ids.items() if len(ids) <= context + 1]
        if short:
            raise SystemExit(f"too little {part} text: {', '.join(short)}")

    def next(self, count, only=None):
        windows = []
        for _ in range(count):
            name = only or self.rng.choice(self.names, p=self.weights / self.weights.sum())
            ids = self.ids[name]
            at = self.rng.integers(len(ids) - self.context)
            windows.append(torch.from_numpy(ids[at:at + self.context + 1].astype(np.int64)))
        windows = torch.stack(windows)
        return windows[:, :-1], windows[:, 1:]


def loss_of(model, batch):
    ids, targets = batch
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return F.cross_entropy(model(ids).float().flatten(0, 1), targets.flatten())


def rate(step, steps, peak):
    """Warm-up over 100 steps, level to 40 % of the way, then a cosine down to 2 %."""
    warm, way = min(1, (step + 1) / 100), step / steps
    fall = 1 if way < 0.4 else 0.5 * (1 + math.cos(math.pi * (way - 0.4) / 0.6)) + 0.02
    return peak * warm * fall


def evaluate(model, data, config, batch):
    """Perplexity per domain on the same held-out windows each time."""
    t = config["training"]
    heldout = Batches(data, "heldout", t["mix"], t["context"], seed=1)
    model.eval()
    with torch.no_grad():
        out = {
            name: round(math.exp(sum(
                loss_of(model, heldout.next(batch, name)).item() for _ in range(3)) / 3), 2)
            for name in t["mix"]}
    model.train()
    return out


def main():
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("config", metavar="CONFIG.json")
    p.add_argument("--data", required=True)
    p.add_argument("--out", required=True, metavar="STATE.pt")
    p.add_argument("--steps", type=int)
    p.add_argument("--threads", type=int, default=2)
    a = p.parse_args()
    with open(a.config) as f:
        config = json.load(f)
    t = config["training"]
    steps, batch = a.steps or t["steps"], t["batch"]
    torch.set_num_threads(a.threads)
    torch.manual_seed(config["seed"])

    model = Model(config)
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters", flush=True)
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}],
        betas=(0.9, 0.95), fused=True)
    train = Batches(a.data, "train", t["mix"], t["context"], config["seed"])

    began, smooth = time.monotonic(), None
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = rate(step, steps, t["learning_rate"])
        loss = loss_of(model, train.next(batch))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        smooth = loss.item() if smooth is None else 0.97 * smooth + 0.03 * loss.item()
        if (step + 1) % 25 == 0:
            speed = (step + 1) * batch * t["context"] / (time.monotonic() - began)
            print(f"step {step + 1}: loss {smooth:.3f}, {speed:,.0f} tokens/s", flush=True)
        if (step + 1) % 200 == 0 or step + 1 == steps:
            print("held out:", evaluate(model, a.data, config, batch), flush=True)
            torch.save(model.release_names(), a.out)


if __name__ == "__main__":
    main()
