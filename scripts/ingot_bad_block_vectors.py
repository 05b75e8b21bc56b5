"""Files with broken GGML blocks and micro-scaled codes, for ingot_bad_vectors."""

import struct

from ingot_bad_cases import align, extents, u16, u32, u64


def bad_blocks(bad):
    """GGML blocks and micro-scaled codes."""
    artifact = bad.artifact
    data = artifact.parts[0]
    records = [data[at:at + 32] for at in artifact.encoding_at]

    def encoding(title, record, field, content):
        index = records.index(record.ljust(32, b"\0"))
        at = artifact.encoding_at[index]
        bad.add(f"encoding, {title}", [f"byte {at}", "encoding", f"record {index}"], [(at + field, content)], "d")

    def tensor(title, name, field, content, *says, byte=None):
        at = artifact.tensor_at[name]
        byte = field if byte is None else byte
        bad.add(f"tensor: {title}", [name, f"byte {at + byte}", *says], [(at + field, content)], "d")

    def payload(title, name, index, place, says="checksum"):
        tensor = next(tensor for tensor in artifact.tensors if tensor.name == name)
        at = artifact.place[name][1]
        for plane in tensor.planes[:index]:
            at = align(at + len(plane))
        bad.add(f"payload: {title}", [name, f"byte {at}", says], [(at + place, bytes([data[at + place] ^ 1]))], found="check")

    q4_k, q8_0 = bytes([3, 12]), bytes([3, 8])
    # F32, withdrawn types, types of intermediate sums, one past the last.
    for number in (0, 1, 4, 9, 15, 31, 36, 43, 255):
        encoding(f"GGML blocks: type {number}", q4_k, 1, bytes([number]))
    for title, field, content in (("a second type", 2, b"\1"), ("bits", 3, b"\4"), ("a global scale", 4, b"\1"),
                                  ("Reserved byte 7", 7, b"\1"), ("a group", 8, u32(32)), ("rows a block", 12, u32(1)),
                                  ("columns a block", 16, u32(256)), ("Reserved byte 20", 20, b"\1"),
                                  ("Reserved byte 31", 31, b"\x80")):
        encoding(f"GGML blocks: {title}", q8_0, field, content)
    mxfp4, nvfp4 = struct.pack("<8BI", 4, 9, 6, 0, 0, 0, 0, 0, 32), struct.pack("<8BI", 4, 9, 4, 0, 1, 0, 0, 0, 16)
    for title, record, field, content in (
            ("codes of F8_E5M2", mxfp4, 1, b"\5"), ("codes of F6_E2M3", mxfp4, 1, b"\7"), ("codes of type 20", mxfp4, 1, b"\x14"),
            ("scales of F8_E5M2", mxfp4, 2, b"\5"), ("scales of F32", mxfp4, 2, b"\1"), ("bits", mxfp4, 3, b"\4"),
            ("powers of two with a global scale", mxfp4, 4, b"\1"), ("powers of two with a factor", mxfp4, 4, b"\2"),
            ("global 3", nvfp4, 4, b"\3"),
            ("global 255", nvfp4, 4, b"\xff"), ("Reserved byte 5", nvfp4, 5, b"\1"), ("group 0", mxfp4, 8, u32(0)),
            ("group 8", nvfp4, 8, u32(8)), ("group 64", mxfp4, 8, u32(64)), ("group 2^32 - 16", mxfp4, 8, u32(2**32 - 16)),
            ("rows a block", mxfp4, 12, u32(1)), ("columns a block", nvfp4, 16, u32(16)), ("Reserved byte 31", nvfp4, 31, b"\1")):
        encoding(f"micro-scaled: {title}", record, field, content)

    # Columns that no whole number of blocks holds; the first two would fit by their bytes.
    tensor("two rows of blocks as one and a half a row", "ggml.Q4_0", 32, u32(4) + u32(48), "shape")
    tensor("columns of Q4_K blocks less one", "ggml.Q4_K", 36, u32(511), "shape", byte=32)
    tensor("columns a multiple of 32, not of 256", "ggml.Q6_K", 32, u32(16) + u32(64), "shape")
    tensor("GGML blocks without extents", "ggml.vector", 24, extents(), "shape", byte=32)
    tensor("Q8_0's rows as MXFP4", "ggml.Q8_0", 10, u16(records.index(bytes([3, 39]).ljust(32, b"\0"))), "bytes", byte=72)
    tensor("odd columns as Q8_0", "micro.F4.32.F8_E8M0", 10, u16(records.index(q8_0.ljust(32, b"\0"))), "shape", byte=32)
    tensor("a block more", "ggml.edges.Q5_K", 36, u32(512), "bytes", byte=72)
    tensor("a row of blocks more", "ggml.stack", 32, u32(3), "bytes", byte=72)
    tensor("2^60 rows of Q6_K", "ggml.Q6_K", 24, extents(2**30, 2**30, 512), "shape", byte=32)
    tensor("2^55 rows of one block, whose weights are 2^63", "ggml.Q6_K", 24, extents(2**31, 2**24, 256), "shape", byte=32)
    tensor("2^54 rows of one block", "ggml.Q6_K", 24, extents(2**27, 2**27, 256), f"{210 * 2**54} bytes", byte=72)
    tensor("blocks with a second checksum", "ggml.IQ4_XS", 88, u64(1), "checksums past the last plane", byte=96)
    tensor("powers of two with a third checksum", "micro.F4.32.F8_E8M0", 96, u64(1), "checksums past the last plane")
    length = struct.unpack_from("<Q", data, artifact.tensor_at["micro.global.one"] + 72)[0]
    tensor("a global scale of 3 bytes", "micro.global.one", 72, u64(length - 1), f"{length} bytes", f"{length - 1}")
    tensor("columns that take one scale more", "micro.F4.16.F8_E4M3.global", 36, u32(49), "bytes", byte=72)
    tensor("codes and scales that fit, their sum does not: micro-scaled", "micro.F4.16.F8_E8M0", 24, extents(2**31, 2**31, 2), "shape", byte=32)

    size = {tensor.name: len(tensor.planes[0]) for tensor in artifact.tensors}
    payload("the first byte of a block", "ggml.Q4_K", 0, 0)
    payload("the last byte of the last block", "ggml.edges.MXFP4", 0, size["ggml.edges.MXFP4"] - 1)
    payload("codes of F4", "micro.F4.16.F8_E4M3", 0, 5)
    payload("a bit that is left over", "micro.one", 0, 0)
    payload("a power of two", "micro.edges.F4.powers", 1, 3)
    payload("a global scale", "micro.global.third", 2, 2)
