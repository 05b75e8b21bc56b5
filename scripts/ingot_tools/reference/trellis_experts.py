"""Experts of a small MiniMax-M2 with the second moments of their inputs, and trellis codes chosen for them; for trellis.py."""

import os

import numpy as np


def experts(folder, layers, count, contexts, cache=None):
    """[(weights {gate, up, down}, moments {calibration, heldout} of {input, inner})] of some experts of a checkpoint.

    Moments weigh tokens by their gate weight squared and have the layer's mean mixed in as hidden / 16 tokens.
    """
    if cache and os.path.exists(cache):
        return list(np.load(cache, allow_pickle=True)["experts"])
    import torch

    from ingot_tools.reference import oracle
    torch.set_num_threads(1)
    model = oracle.load(folder)
    weights = oracle.decoded(oracle.read_tensors(folder), oracle.read_config(folder))
    found = {}
    for part in ("calibration", "heldout"):
        states = {layer: [] for layer in layers}
        hooks = [model.model.layers[layer].mlp.register_forward_pre_hook(
            lambda _, inputs, layer=layer: states[layer].append(inputs[0].reshape(-1, inputs[0].shape[-1]).float()))
            for layer in layers]
        texts = sorted(os.listdir(f"{folder}/text/{part}"))
        with torch.no_grad():
            for text in texts:
                for chunk in oracle.token_chunks(folder, f"{folder}/text/{part}/{text}", 512, contexts):
                    model.model(chunk[None])
        for hook in hooks:
            hook.remove()
        for layer in layers:
            prefix = f"model.layers.{layer}.block_sparse_moe."
            x = torch.cat(states[layer])
            scores = torch.sigmoid(x @ weights[prefix + "gate.weight"].float().T)
            top = torch.topk(scores + weights[prefix + "e_score_correction_bias"].float(), 4).indices
            share = torch.zeros_like(scores).scatter(1, top, scores.gather(1, top))
            share = share / share.sum(1, keepdim=True)
            for expert in range(count):
                gate, up, down = (weights[f"{prefix}experts.{expert}.{name}.weight"].float() for name in ("w1", "w3", "w2"))
                inner = torch.nn.functional.silu(x @ gate.T) * (x @ up.T)
                key = (layer, expert)
                found.setdefault(key, ({"gate": gate.numpy(), "up": up.numpy(), "down": down.numpy()}, {}))
                found[key][1][part] = {
                    name: moments(values.numpy(), share[:, expert].numpy()) for name, values in (("input", x), ("inner", inner))}
    result = list(found.values())
    if cache:
        kept = np.empty(len(result), object)
        kept[:] = result
        np.savez(cache, experts=kept)
    return result


def moments(values, share):
    weight = share ** 2
    all_of = values.T @ values * (values.shape[1] / 16 / len(values)) * weight[weight > 0].mean()
    return (values * weight[:, None]).T @ values + all_of


class Choice:
    """How codes of a matrix are chosen: what scales there are, rotations, passes."""

    def __init__(self, trellis, columns=True, rotated=False, passes=1, sweeps=0, refit=False, gain=1.1, ridge=0.03):
        self.trellis, self.has_columns, self.rotated, self.ridge = trellis, columns, rotated, ridge
        self.passes, self.sweeps, self.refits, self.gain = passes, sweeps, refit, gain

    def decoded(self, weights, hessian):
        """What the codes stand for, (rows, columns)."""
        if self.rotated:
            # As EXL3 does it: scales of rows and columns first, then rotations.
            rows, columns = (rotation(n) for n in weights.shape)
            scale = np.sqrt((weights ** 2).mean(0))
            right = columns * scale
            return rows.T @ self.plain(rows @ (weights / scale) @ columns.T, right @ hessian @ right.T) @ right
        return self.plain(weights, hessian)

    def plain(self, weights, hessian):
        rows, columns = weights.shape
        column_scales = np.ones(columns, np.float32)
        if self.has_columns:
            column_scales = np.sqrt((weights ** 2).mean(0)).astype(np.float32)
            column_scales = (column_scales / column_scales.mean()).clip(2.0 ** -10).astype(np.float32)
        # Every channel may be as large, next to its weights, as the mean of all is now and then.
        squares = column_scales.astype(np.float64) ** 2
        own = np.diag(hessian)
        damped = hessian + np.diag(0.01 * own + self.ridge * (own * squares).mean() / squares)
        order = np.argsort(-np.diag(hessian), kind="stable")
        factor = np.linalg.cholesky(np.linalg.inv(damped[np.ix_(order, order)].astype(np.float64))).astype(np.float32)
        factor = np.ascontiguousarray(factor)
        book = self.trellis.book / 64
        row_scales = (np.sqrt(((weights / column_scales) ** 2).mean(1)) / book.std() * self.gain).astype(np.float32)
        for step in range(self.passes):
            values, _ = self.trellis.columns(
                np.ascontiguousarray(weights.T[order], np.float32), order, factor, row_scales, column_scales)
            values = values.T
            if self.refits:
                row_scales, column_scales = self.refit(weights, damped, values, row_scales, column_scales)
        for _ in range(self.sweeps):
            values = self.sweep(weights, damped, values, row_scales, column_scales, order)
            if self.refits:
                row_scales, column_scales = self.refit(weights, damped, values, row_scales, column_scales)
        return row_scales[:, None] * values * column_scales

    def refit(self, weights, hessian, values, row_scales, column_scales):
        """Least squares for the rows' scales, the columns', and the rows' again."""
        if self.has_columns:
            u = values * row_scales[:, None]
            normal = hessian * (u.T @ u)
            right = (u * (weights @ hessian)).sum(0)
            mean = np.trace(normal) / len(normal)
            found = np.linalg.solve(normal + 1e-6 * mean * np.eye(len(normal)), right + 1e-6 * mean * column_scales)
            column_scales = np.where(found > 0, found, column_scales).astype(np.float32)
        u = values * column_scales
        moved = u @ hessian
        row_scales = ((weights * moved).sum(1) / np.maximum((u * moved).sum(1), 1e-30)).astype(np.float32)
        return row_scales, column_scales

    def sweep(self, weights, hessian, values, row_scales, column_scales, order):
        """Every column anew, the others staying, ring by ring where that is better."""
        scale = row_scales[:, None] * column_scales
        decoded = values * scale
        gradient = (weights - decoded) @ hessian
        ring = self.trellis.shape.ring
        for column in order:
            target = decoded[:, column] + gradient[:, column] / hessian[column, column]
            one = np.ascontiguousarray(target[None], np.float32)
            found, _ = self.trellis.columns(one, [0], None, row_scales, column_scales[column:column + 1])
            new = found[0] * scale[:, column]
            for first in range(0, len(new), ring):
                part = slice(first, first + ring)
                if ((target - new)[part] ** 2).sum() >= ((target - decoded[:, column])[part] ** 2).sum():
                    continue
                change = new[part] - decoded[part, column]
                gradient[part] -= change[:, None] * hessian[column]
                decoded[part, column], values[part, column] = new[part], found[0][part]
        return values


def rotation(n, block=128):
    """A Hadamard matrix along blocks, with random signs: (n, n), orthogonal."""
    matrix = np.ones((1, 1))
    while len(matrix) < block:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    signs = np.random.default_rng(n).choice([-1.0, 1.0], n)
    return (np.kron(np.eye(n // block), matrix / np.sqrt(block)) * signs).astype(np.float32)


def output_error(weights, decoded, hessian):
    difference = weights - decoded
    return ((difference @ hessian) * difference).sum() / ((weights @ hessian) * weights).sum()


def errors(found, choice, some=None):
    """Mean error of outputs, relative to their power: {calibration, heldout} of (gate and up, down)."""
    sums = {part: [[], []] for part in ("calibration", "heldout")}
    for weights, moment in found[:some]:
        for name, w in weights.items():
            which = "inner" if name == "down" else "input"
            decoded = choice.decoded(w, moment["calibration"][which])
            for part in sums:
                sums[part][name == "down"].append(output_error(w, decoded, moment[part][which]))
    return {part: (float(np.mean(a)), float(np.mean(b))) for part, (a, b) in sums.items()}
