"""How a tensor's numbers are stored: *Encoding record* and *Planes* in SPEC.md."""

import struct

from . import ggml_blocks, ggml_points

TYPES = (
    "F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F6_E2M3", "F6_E3M2", "F4", "I64", "I32", "I16", "I8", "U64",
    "U32", "U16", "U8", "BOOL", "C64")
BITS = dict(zip(TYPES, (64, 32, 16, 16, 8, 8, 8, 6, 6, 4, 64, 32, 16, 8, 64, 32, 16, 8, 8, 64), strict=True))
SCALES = ("F32", "BF16", "F16")
KINDS = {0: "dense", 1: "block scaled", 2: "affine", 3: "GGML blocks", 4: "micro-scaled", 5: "trellis"}
# Dense types whose values F32 holds and that decode to it.
DECODABLE = ("F32", "F16", "BF16", "F8_E4M3", "F8_E5M2")


def need(holds: bool) -> None:
    """Raises ValueError unless it is so."""
    if not holds:
        raise ValueError


class Encoding:
    """One record of 32 bytes. `name` is what listings show, such as `int4 g64 sym F16` or `Q4_K`.

    Raises ValueError, IndexError or KeyError for a record that is none of this version's.
    """

    def __init__(self, record: bytes) -> None:
        kind, first, second, bits, offset, _, group, rows, columns, _ = struct.unpack("<5B3s3I12s", record)
        self.kind = KINDS[kind]
        self.group: int = group
        self.block: tuple[int, int] = rows, columns
        self.bits: int = bits
        # `type` is that of dense values or of codes, `scale` that of scales; "" where a kind has none.
        self.type = self.scale = self.offset = ""
        self.layout: ggml_blocks.Layout | ggml_points.Layout | None = None
        self.global_scale: int = 0
        self.halves = self.window = 0
        if kind == 0:
            self.type = self.name = TYPES[first]
            used = bytes([0, first])
        elif kind == 1:
            self.type, self.scale = TYPES[first], TYPES[second]
            need(self.type in ("F8_E4M3", "F8_E5M2") and self.scale in SCALES)
            need(1 <= rows <= 1 << 20 and 1 <= columns <= 1 << 20)
            used = struct.pack("<3B9x2I", 1, first, second, rows, columns)
            self.name = f"{self.type} {rows}x{columns} {self.scale}"
        elif kind == 3:
            self.layout = ggml_blocks.LAYOUTS.get(first) or ggml_points.LAYOUTS[first]
            self.name = self.layout.name
            used = bytes([3, first])
        elif kind == 4:
            self.type, self.scale, self.global_scale = TYPES[first], TYPES[second], offset
            need(self.type in ("F4", "F8_E4M3") and self.scale in ("F8_E8M0", "F8_E4M3") and group in (16, 32))
            need(offset <= 2 and not (offset and self.scale == "F8_E8M0"))
            used = struct.pack("<5B3xI", 4, first, second, 0, offset, group)
            self.name = f"{self.type} g{group} {self.scale}{('', ' global', ' factor')[offset]}"
        elif kind == 5:
            self.halves, self.window = first, second
            need(3 <= first <= 8 and 8 <= second <= 16)
            used = bytes([5, first, second])
            self.name = f"trellis-{first // 2}{'.5' if first % 2 else ''}{'' if second == 12 else f' w{second}'}"
        else:
            self.scale, self.offset = TYPES[second], ("sym", "zero", "bias")[offset]
            need(self.scale in SCALES and bits in (2, 3, 4, 5, 6, 8))
            need(group == 0 or group in range(16, 129, 16))
            used = struct.pack("<5B3xI", 2, 0, second, bits, offset, group)
            self.name = f"int{bits} {f'g{group}' if group else 'row'} {self.offset} {self.scale}"
        # What a kind has no use for, and what is Reserved, is zero.
        need(record == used.ljust(32, b"\0"))

    @property
    def is_decodable(self) -> bool:
        """Whether values decode to F32; false for dense types that are no numbers of at most 32 bits."""
        return self.kind != "dense" or self.type in DECODABLE

    def planes(self, rows: int, columns: int) -> list[tuple[int, int]]:
        """(bytes a row, rows) of each plane of a tensor of (rows, columns).

        Raises ValueError for columns that the encoding does not divide, or values that do not end on a byte.
        """
        if self.kind == "dense":
            need(columns * BITS[self.type] % 8 == 0)
            return [(columns * BITS[self.type] // 8, rows)]
        if self.kind == "block scaled":
            r, c = self.block
            return [(columns, rows), (-(-columns // c) * BITS[self.scale] // 8, -(-rows // r))]
        if self.layout is not None:
            need(columns % self.layout.weights == 0)
            return [(columns // self.layout.weights * self.layout.bytes, rows)]
        if self.kind == "trellis":
            return [(4 * columns * self.halves, -(-rows // 64)), (4 * min(columns, 1), rows), (2 * columns, min(rows, 1))]
        groups = -(-columns // (self.group or max(columns, 1)))
        if self.kind == "micro-scaled":
            planes = [(-(-columns * BITS[self.type] // 8), rows), (groups, rows)]
            return planes + ([(4 * min(groups, 1), min(rows, 1))] if self.global_scale else [])
        codes, scales = (-(-columns * self.bits // 8), rows), (groups * BITS[self.scale] // 8, rows)
        return [codes, scales] + {
            "sym": [], "zero": [(-(-groups * self.bits // 8), rows)], "bias": [scales]}[self.offset]
