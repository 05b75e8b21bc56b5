"""Reads .ingot artifacts: every encoding, mapped, decoded when asked for. Needs numpy; the rest is optional.

    import ingot

    artifact = ingot.Artifact("model.ingot")
    artifact["model.norm.weight"].values()          # F32, the tensor's shape
    artifact.to_safetensors("model.safetensors")    # for everything else that reads weights

`ingot.transformers` runs an artifact in transformers. `python -m ingot ls FILE` lists one.
"""

from .artifact import Artifact
from .encodings import Encoding
from .errors import FormatError
from .records import SideFile, Tensor

__all__ = ["Artifact", "Encoding", "FormatError", "SideFile", "Tensor"]
__version__ = "0.1.0"
