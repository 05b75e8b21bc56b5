"""Unpacks zstd frames with whatever is there: Python 3.14's own module, the package zstandard, or the command zstd."""

import subprocess
import tempfile


class Missing(Exception):
    """None of the three is there; the text says what to install."""


def decompress(frame: bytes, size: int) -> bytes | None:
    """The content of a frame of at most `size` bytes; None when it is broken. Raises `Missing`."""
    try:
        from compression.zstd import ZstdDecompressor, ZstdError
    except ImportError:
        pass
    else:
        try:
            return bytes(ZstdDecompressor().decompress(frame, max_length=size + 1))
        except ZstdError:
            return None
    try:
        import zstandard
    except ImportError:
        pass
    else:
        # Read as a stream: a frame may say that it holds more than fits into memory.
        try:
            with zstandard.ZstdDecompressor().stream_reader(frame) as reader:
                return bytes(reader.read(size + 1))
        except zstandard.ZstdError:
            return None
    with tempfile.TemporaryFile() as file:
        file.write(frame)
        file.seek(0)
        try:
            run = subprocess.Popen(["zstd", "-dcq"], stdin=file, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        except OSError:
            raise Missing("Python 3.14, the package zstandard or the command zstd") from None
        with run:
            assert run.stdout
            content = run.stdout.read(size + 1)
            run.kill()
    return content
