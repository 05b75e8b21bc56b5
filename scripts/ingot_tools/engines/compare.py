"""Comparing logits of two implementations."""

import numpy as np


def log_softmax(x):
    x = x.astype(np.float64)
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def divergence(reference, candidate):
    """KL(reference ‖ candidate) in nats over all positions, and how often the top token is the same."""
    kl, same = [], []
    # A context at a time: float64 of all would take four times the memory of the logits.
    for a, b in zip(reference, candidate):
        p, q = log_softmax(a), log_softmax(b)
        kl.append((np.exp(p) * (p - q)).sum(-1))
        same.append(a.argmax(-1) == b.argmax(-1))
    return {"kld": float(np.mean(kl)), "maximum": float(np.max(kl)), "sameTop": float(np.mean(same))}


def losses(logits, ids):
    """Negative log-likelihoods (contexts, scored tokens) of the second halves, as llama-perplexity scores."""
    out = []
    for context, tokens in zip(logits, np.asarray(ids)):
        first = len(tokens) // 2
        log_p = log_softmax(context[first:-1])
        out.append(-log_p[np.arange(len(log_p)), tokens[first + 1:]])
    return np.array(out)


def perplexity(logits, ids):
    return float(np.exp(np.mean(losses(logits, ids))))


def ratio(ours, theirs, ids):
    """Perplexity of ours / theirs, and its standard error from paired losses, contexts taken as independent."""
    difference = (losses(ours, ids) - losses(theirs, ids)).mean(1)
    value = float(np.exp(difference.mean()))
    return value, value * float(difference.std(ddof=1)) / len(difference) ** 0.5


def scored(logits):
    """The positions that perplexity scores."""
    return logits[:, logits.shape[1] // 2:-1]


def greedy(generated, logits, prompt):
    """Whether an engine generated what the reference's greedy choice would be.

    generated: (contexts, N) by the engine; logits: the reference's on prompt + generated. As long as every
    generated token is the reference's top token after the same prefix, both generate the same. Returns how
    many tokens were equal in the worst context, and the largest margin at a divergence: how far the
    reference's logit of the engine's choice lies below its best one.
    """
    worst, margin = generated.shape[1], 0.0
    for tokens, context in zip(generated, logits):
        for step, token in enumerate(tokens):
            row = context[prompt - 1 + step]
            if int(row.argmax()) != int(token):
                worst, margin = min(step, worst), max(margin, float(row.max() - row[token]))
                break
    return worst, margin
