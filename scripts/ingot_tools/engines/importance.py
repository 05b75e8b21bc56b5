"""llama.cpp's importance matrix, read from a GGUF file for its quantizer."""
import numpy as np


def read_imatrix(path):
    """Names and means of squares, the columns of all experts after each other; 1 for experts without tokens."""
    from gguf import GGUFReader

    tensors = {tensor.name: np.array(tensor.data, dtype=np.float32) for tensor in GGUFReader(path).tensors}
    found = []
    for name, sums in tensors.items():
        if not name.endswith(".in_sum2"):
            continue
        base = name[:-len(".in_sum2")]
        counts = tensors[base + ".counts"].reshape(-1, 1)
        sums = sums.reshape(len(counts), -1)
        means = np.where(counts > 0, sums / np.maximum(counts, 1), 1).astype(np.float32)
        found.append((base, np.ascontiguousarray(means.reshape(-1))))
    return found
