"""The files that a reader of .ingot must refuse, as patches on good ones. Used by make-ingot-vectors."""

import struct

from ingot_bad_block_vectors import bad_blocks
from ingot_bad_cases import Bad, align, extents, i32, u16, u32, u64
from ingot_trellis_vectors import bad_trellis
from ingot.xxh3 import xxh3


def bad_vectors(tiny, split, blocks, trellis):
    one, three, blocky = Bad("tiny", tiny), Bad("tiny-split", split), Bad("blocks", blocks)
    paths = Bad("trellis", trellis)
    bad_header(one)
    bad_counts(one)
    bad_encodings(one)
    bad_kinds(one)
    bad_names(one)
    bad_tensors(one)
    bad_files(one)
    bad_models(one)
    bad_payload(one)
    bad_parts(three)
    bad_blocks(blocky)
    bad_trellis(paths)
    return one.cases + three.cases + blocky.cases + paths.cases


def bad_header(bad):
    data = bad.artifact.parts[0]
    size, directory = len(data), bad.artifact.directory_length
    for length in (0, 1, 7, 8, 127):
        bad.add(f"cut to {length} bytes", ["byte 0", "128 bytes", f"{length} bytes"], truncate=length)
    config = bad.artifact.file_at["config.json"]
    config_start = struct.unpack_from("<Q", data, config + 16)[0]
    cuts = {
        "header only": 128, "in the counts": 140, "in the records": 128 + directory // 2, "after the directory": 128 + directory,
        "in a side file": config_start + 10, "at the first run": 65536, "in the last tensor": size - 17, "last byte": size - 1}
    for name, length in cuts.items():
        bad.add(f"cut: {name}", ["byte 24", f"{size} bytes", f"{length} bytes"], truncate=length)
    bad.add("one byte more", ["byte 24", f"{size + 1} bytes"], append=b"\0")
    bad.add("a header's worth more", ["byte 24", f"{size + 128} bytes"], append=data[:128])
    bad.add("cut in the last tensor, length made to fit", [bad.artifact.tensors[-1].name, "part 1"],
            [(24, u64(size - 17))], "h", truncate=size - 17)
    bad.add("cut after the directory, length made to fit", ["part 1"], [(24, u64(128 + directory))], "h", truncate=128 + directory)
    bad.add("cut in the directory, length made to fit", ["byte 32", "128"], [(24, u64(128 + directory - 1))], "h",
            truncate=128 + directory - 1)
    bad.add("magic: first byte", ["byte 0", "magic"], [(0, b"\x88")], "h")
    bad.add("magic: line end changed", ["byte 0", "magic"], [(6, b"\n\n")], "h")
    bad.add("magic: another format's", ["byte 0", "magic"], [(0, b"GGUF\3\0\0\0")], "h")
    for version in (0, 2, 256, 65535):
        bad.add(f"version {version}", ["byte 8", "version 1", f"{version}"], [(8, u16(version))], "h")
    bad.add("version 2, checksum of version 1", ["byte 8", "version 1"], [(8, u16(2))])
    bad.add("flags: lowest bit", ["byte 12", "flags"], [(12, u32(1))], "h")
    bad.add("flags: highest bit", ["byte 12", "flags"], [(12, u32(1 << 31))], "h")
    bad.add("reserved byte 64", ["byte 64", "reserved"], [(64, b"\1")], "h")
    bad.add("reserved byte 119", ["byte 64", "reserved"], [(119, b"\x80")], "h")
    fields = {"minor version": 10, "part": 16, "parts": 20, "length": 24, "directory's place": 32, "directory's length": 40,
              "directory's checksum": 48, "Unused": 56, "Reserved": 100, "header's checksum": 120}
    for name, at in fields.items():
        bad.add(f"{name} changed, header checksum not", ["byte 120", "checksum"], [(at, bytes([data[at] ^ 0x40]))])
    for name, part, parts in (("part 1 of 1, counted from 0", 1, 1), ("no parts", 0, 0), ("100,000 parts", 0, 100_000),
                              ("2^32 - 1 parts", 0, 2**32 - 1), ("part 2^32 - 1", 2**32 - 1, 1)):
        bad.add(f"parts: {name}", ["byte 16", "99999"], [(16, u32(part) + u32(parts))], "h")
    bad.add("two parts, a name without a number", ["-of-00002.ingot", "name"], [(20, u32(2))], "h")
    for name, length in (("one less", size - 1), ("one more", size + 1), ("0", 0), ("2^62", 2**62)):
        bad.add(f"length: {name}", ["byte 24", f"{length} bytes", f"{size} bytes"], [(24, u64(length))], "h")
    bad.add("length: 2^63", ["byte 24"], [(24, u64(2**63))], "h")
    for start in (0, 64, 136, 2**62):
        bad.add(f"directory at {start}", ["byte 32", "128"], [(32, u64(start))], "h")
    bad.add("directory at 2^64 - 64", [], [(32, u64(2**64 - 64))], "h")
    for length in (size, size - 127, 2**30 + 1, 2**62):
        bad.add(f"directory of {length} bytes", ["byte 32", "128"], [(40, u64(length))], "h")
    bad.add("directory of 2^64 - 1 bytes", [], [(40, u64(2**64 - 1))], "h")
    for length in (0, 23):
        bad.add(f"directory of {length} bytes, checksum made right", ["byte 128", "24 bytes"], [(40, u64(length))], "dh")
    bad.add("directory one byte shorter, checksum made right", ["names"], [(40, u64(directory - 1))], "dh")
    bad.add("directory one byte longer, checksum made right", ["names"], [(40, u64(directory + 1))], "dh")
    bad.add("directory checksum", ["byte 128", "checksum"], [(48, bytes(8))], "h")
    bad.add("directory: first byte", ["byte 128", "checksum"], [(128, bytes([data[128] ^ 1]))])
    last = 128 + directory - 1
    bad.add("directory: last byte", ["byte 128", "checksum"], [(last, bytes([data[last] ^ 1]))])


def bad_counts(bad):
    encodings, kinds, tensors, files, names = struct.unpack_from("<4IQ", bad.artifact.parts[0], 128)
    for name, at, value in (
            ("one encoding more", 0, encodings + 1), ("one kind more", 4, kinds + 1), ("one kind less", 4, kinds - 1),
            ("no kinds", 4, 0), ("2^32 - 1 kinds", 4, 2**32 - 1), ("65,537 kinds", 4, 65537),
            ("one tensor more", 8, tensors + 1), ("one tensor less", 8, tensors - 1),
            ("2^32 - 1 tensors", 8, 2**32 - 1), ("one file more", 12, files + 1), ("2^32 - 1 files", 12, 2**32 - 1),
            ("2^32 - 1 encodings", 0, 2**32 - 1), ("65,537 encodings", 0, 65537)):
        bad.add(f"counts: {name}", ["encodings", "kinds", "tensors", "names", f"{value}"], [(128 + at, u32(value))], "d")
    # As many bytes of records as before: two encodings are a kind. What is then read as encodings is none.
    bad.add("counts: a kind as two encodings", ["encoding", f"record {encodings}"], [(128, u32(encodings + 2) + u32(kinds - 1))], "d")
    for name, value in (("one byte of names more", names + 1), ("no names", 0), ("2^62 bytes of names", 2**62)):
        bad.add(f"counts: {name}", ["names"], [(128 + 16, u64(value))], "d")
    bad.add("counts: 2^63 bytes of names", [], [(128 + 16, u64(2**63))], "d")


def bad_encodings(bad):
    data = bad.artifact.parts[0]
    places = {}
    for index, at in enumerate(bad.artifact.encoding_at):
        places.setdefault(data[at], (index, at))
    kinds = {0: "dense", 1: "block scaled", 2: "affine"}
    edits = {
        0: {"kind 6": (0, b"\6"), "kind 255": (0, b"\xff"), "value type 20": (1, b"\x14"), "a second type": (2, b"\1"),
            "bits": (3, b"\4"), "Reserved byte 5": (5, b"\1"), "Reserved byte 31": (31, b"\1"), "a group": (8, u32(16))},
        1: {"codes of BF16": (1, b"\3"), "codes of U8": (1, b"\x11"), "scales of F64": (2, b"\0"), "scales of type 77": (2, b"\x4d"),
            "no rows a block": (12, u32(0)), "2^20 + 1 rows a block": (12, u32(2**20 + 1)), "no columns a block": (16, u32(0)),
            "2^32 - 1 columns a block": (16, u32(2**32 - 1)), "an offset": (4, b"\1"), "Reserved byte 20": (20, b"\1")},
        2: {"0 bits": (3, b"\0"), "1 bit": (3, b"\1"), "7 bits": (3, b"\7"), "9 bits": (3, b"\x09"), "255 bits": (3, b"\xff"),
            "offset 3": (4, b"\3"), "scales of I32": (2, b"\x0b"), "a code type": (1, b"\1"), "group 8": (8, u32(8)),
            "group 24": (8, u32(24)), "group 144": (8, u32(144)), "group 2^32 - 16": (8, u32(2**32 - 16)),
            "rows a block": (12, u32(1)), "Reserved byte 7": (7, b"\1")}}
    for kind, cases in edits.items():
        index, at = places[kind]
        for name, (field, content) in cases.items():
            bad.add(f"encoding, {kinds[kind]}: {name}", [f"byte {at}", "encoding", f"record {index}"], [(at + field, content)], "d")


def bad_kinds(bad):
    artifact = bad.artifact
    kinds = artifact.kinds
    at = artifact.kind_at[kinds[1]]

    def case(title, content, *says, place=at):
        assert len(content) <= 64, title
        bad.add(f"kind: {title}", [f"byte {place}", *says], [(place, content.ljust(64, b"\0"))], "d")

    case("empty", b"", "kind", "empty")
    case("only a byte after an empty name", b"\0" * 63 + b"\1", "kind", "empty")
    case("64 bytes, one too many", b"b" * 64, "1 to 63")
    case("a byte after its end", b"attention_norm\0x", "then zeros")
    case("its last byte set", b"attention_norm".ljust(63, b"\0") + b"\1", "then zeros")
    for title, text in (("a lone byte 0xFF", b"\xffttention"), ("a cut code point", b"attention\xc3"),
                        ("an overlong letter", b"at\xc1\xb4ention"), ("a surrogate", b"attention\xed\xa0\x80"),
                        ("a letter beyond ASCII", "attentión".encode()), ("an upper-case letter", b"attentioN"),
                        ("a hyphen", b"attention-output"), ("a space", b"attention output"), ("a leading space", b" attention"),
                        ("a dot", b"attention.output"), ("a slash", b"../attention"), ("a line end", b"attention\n"),
                        ("an escape", b"attention\x1b[2J"), ("a leading digit", b"1attention"), ("a leading underscore", b"_attention")):
        case(title, text, "kind of tensor")
    case("twice", kinds[0].encode(), "rising order", f"'{kinds[0]}'")
    case("before the one before it", b"a", "rising order", f"'{kinds[0]}'")
    last = artifact.kind_at[kinds[-1]]
    case("the last before others", kinds[0].encode() + b"_", "rising order", place=last)
    case("the last one empty", b"", "empty", place=last)


EMBEDDING, NORM, QUERY = "model.embed_tokens.weight", "model.norm.weight", "model.layers.0.self_attn.q_proj.weight"


def bad_names(bad):
    artifact = bad.artifact
    at, second = artifact.tensor_at[EMBEDDING], artifact.tensor_at[NORM]
    first_name = artifact.names_at + artifact.name_at[EMBEDDING]
    file = artifact.file_at["config.json"]
    for name, edit in (("past the directory", (at, u32(1 << 20))), ("2^32 - 1", (at, u32(2**32 - 1))),
                       ("length 2^32 - 1", (at + 4, u32(2**32 - 1)))):
        bad.add(f"name: {name}", [f"byte {at}", "name within the directory"], [edit], "d")
    bad.add("name: empty", [f"byte {at}", "UTF-8", "empty"], [(at + 4, u32(0))], "d")
    for name, content in (("a lone byte 0xFF", b"\xff"), ("an overlong slash", b"\xc0\xaf"), ("a surrogate", b"\xed\xa0\x80"),
                          ("past U+10FFFF", b"\xf4\x90\x80\x80"), ("a lone continuation", b"\x80")):
        bad.add(f"name: {name}", [f"byte {at}", "UTF-8"], [(first_name, content)], "d")
    bad.add("name: twice", [f"byte {second}", EMBEDDING, "once"],
            [(second, u32(artifact.name_at[EMBEDDING]) + u32(len(EMBEDDING)))], "d")
    bad.add("name: of a side file, that a tensor has", [f"byte {file}", EMBEDDING, "once"],
            [(file, u32(artifact.name_at[EMBEDDING]) + u32(len(EMBEDDING)))], "d")


def bad_tensors(bad):
    artifact = bad.artifact
    data = artifact.parts[0]
    at, name, size = artifact.tensor_at[QUERY], QUERY, len(data)
    length = struct.unpack_from("<Q", data, at + 72)[0]

    def case(title, field, content, *says, byte=None):
        byte = field if byte is None else byte
        bad.add(f"tensor: {title}", [name, f"byte {at + byte}", *says], [(at + field, content)], "d")

    for kind in (len(artifact.kinds), 255, 65535):
        case(f"kind {kind}", 8, u16(kind), f"one of {len(artifact.kinds)} kinds", f"{kind}")
    case("encoding past the last", 10, u16(len(artifact.encoding_at)), "encodings")
    case("encoding 65,535", 10, u16(65535), "encodings")
    case("layer -2", 12, i32(-2), "layer", "-2")
    case("layer -2^31", 12, i32(-2**31), "layer")
    case("expert -2", 16, i32(-2), "expert", "-2", byte=12)
    case("part 2 of one file", 20, u32(1), "parts")
    case("part 2^32 - 1 of one file", 20, u32(2**32 - 1), "parts")
    case("9 extents", 24, u32(9), "at most 8 extents")
    case("2^32 - 1 extents", 24, u32(2**32 - 1), "at most 8 extents")
    case("Reserved", 28, u32(1), "reserved")
    case("extents 2^32 - 1, twice", 32, u32(2**32 - 1) * 2, "shape")
    case("extents 2^31, 2^31 and 2", 24, extents(2**31, 2**31, 2), "shape", byte=32)
    case("extents 2^32 - 1, eight times", 24, extents(*[2**32 - 1] * 8), "shape", byte=32)
    bad.add("tensor: extents 0 and 2^32 - 1", [name], [(at + 32, u32(0) + u32(2**32 - 1))], "d")
    case("third extent of two", 40, u32(1), "zero for extents past the last")
    case("eighth extent of two", 60, u32(1), "zero for extents past the last")
    case("one row more", 32, u32(17), "bytes", byte=72)
    case("one column more", 36, u32(17), "bytes", byte=72)
    case("one extent", 24, u32(1), "zero for extents past the last", byte=36)
    start = artifact.place[QUERY][1]
    for title, place in (("not at a multiple of 64", start + 32), ("past the end", align(size)), ("at 2^62", 2**62),
                         ("last byte past the end", align(size - length)), ("2^63 - 64, so that its end overflows", 2**63 - 64)):
        case(f"start {title}", 64, u64(place), "part 1", f"byte {place}, length {length}")
    case("start 2^63", 64, u64(2**63), "2^63")
    for title, value in (("0", 0), ("one less", length - 1), ("one more", length + 1), ("2^62", 2**62)):
        case(f"length {title}", 72, u64(value), f"{length} bytes", f"{value}")
    case("length 2^64 - 1", 72, u64(2**64 - 1), "2^63")
    case("checksum past its last plane", 96, u64(1), "checksums past the last plane")
    embedding = artifact.place[EMBEDDING][1]
    for title, place in (("on another tensor", embedding), ("on the end of another tensor", embedding + 64)):
        bad.add(f"tensor: {title}", ["overlap", f"byte {place}"], [(at + 64, u64(place))], "d")
    for title, place in (("on the header", 0), ("on the directory", 128)):
        bad.add(f"tensor: {title}", [name, "overlap", f"byte {place}"], [(at + 64, u64(place))], "d")
    config = struct.unpack_from("<Q", data, artifact.file_at["config.json"] + 16)[0]
    bad.add("tensor: on a side file", ["overlap"], [(at + 64, u64(config))], "d")
    # Each plane fits 63 bits, their sum does not.
    key = "model.layers.0.self_attn.k_proj.weight"
    key_at = artifact.tensor_at[key]
    for title, shape in (("rows", (2**30, 2**30, 1)), ("rows and a little", (4_027_518_961, 254_454_200, 1))):
        bad.add(f"tensor: planes that fit, their sum does not: {title}", [key, f"byte {key_at + 32}", "shape"],
                [(key_at + 24, extents(*shape))], "d")
    case("codes and scales that fit, their sum does not", 24, extents(2 * 10**9, 3 * 10**9, 1), "shape", byte=32)
    # The same bits, another type: a block of 1 × 1 takes a scale for every code.
    other = artifact.tensor_at["model.layers.0.self_attn.v_proj.weight"]
    encoding = struct.unpack_from("<H", data, other + 10)[0]
    case("encoding of another tensor", 10, u16(encoding), "bytes", byte=72)


def bad_files(bad):
    artifact = bad.artifact
    data, name = artifact.parts[0], "config.json"
    at, text = artifact.file_at[name], artifact.names_at + artifact.name_at[name]
    start, length = struct.unpack_from("<2Q", data, at + 16)

    def case(title, says, edits, seal="d", found="open"):
        bad.add(f"file: {title}", says, edits, seal, found=found)

    for title, content in (("a slash", b"con/ig.json"), ("a slash under a combining mark", b"con/\xcc\x81.json"),
                           ("a backslash", b"con\\ig.json"), ("a NUL", b"con\0ig.json"), ("a leading dot", b".onfig.json"),
                           ("two dots", b"..........."), ("a leading dot under a combining mark", b".\xcc\x81fig.json"),
                           ("an absolute path", b"/tmp/a.json"), ("a path that leads out", b"../a/b.json")):
        case(f"name with {title}", [f"byte {at}", "plain name"], [(text, content)])
    case("name of 256 bytes", [f"byte {at}", "plain name"], [(at, u32(0) + u32(256))])
    case("kind 2", [name, f"byte {at + 8}", "kind"], [(at + 8, u16(2))])
    case("codec 2", [name, f"byte {at + 8}", "codec"], [(at + 10, u16(2))])
    case("Reserved", [name, f"byte {at + 12}"], [(at + 12, u32(1))])
    for title, place in (("past the end", len(data)), ("2^62", 2**62), ("2^63 - 1", 2**63 - 1)):
        case(f"start {title}", [name, f"byte {at + 16}", "part 1"], [(at + 16, u64(place))])
    case("start 2^63", [], [(at + 16, u64(2**63))])
    case("stored bytes past the end", [name, "part 1"], [(at + 24, u64(len(data)) * 2)])
    case("stored 2^63 - 1 bytes", [name, "part 1"], [(at + 24, u64(2**63 - 1) * 2)])
    case("plain, but content longer than stored", [name, f"byte {at + 32}"], [(at + 32, u64(length + 1))])
    case("plain, but no content", [name, f"byte {at + 32}"], [(at + 32, u64(0))])
    bomb = (1 << 20) + 256 * length + 1
    for title, raw in (("just past its bound", bomb), ("1 TiB", 2**40), ("2^63 - 1", 2**63 - 1)):
        case(f"compressed, content of {title}", [name, f"byte {at + 32}"], [(at + 10, u16(1)), (at + 32, u64(raw))])
    case("on the directory", ["overlap"], [(at + 16, u64(128))])
    case("on another", ["overlap"], [(at + 16, data[artifact.file_at["ingot-provenance.json"] + 16:][:8])])
    case("no zstd frame", [name, f"byte {start}", "zstd"], [(at + 10, u16(1))], found="model")
    # A frame that states 16 bytes and ends after its header.
    frame = (b"\x28\xb5\x2f\xfd\x20\x10" + bytes(length))[:length]
    case("a broken zstd frame", [name, f"byte {start}", "zstd"],
         [(at + 10, u16(1)), (at + 32, u64(16)), (start, frame), (at + 40, u64(xxh3(frame)))], found="model")
    # A frame of one run-length block, 16 times 'x', that the record says gives 15 bytes.
    frame = b"\x28\xb5\x2f\xfd\x20\x10\x83\0\0x"
    case("a zstd frame with more content than stated", [name, "zstd"],
         [(at + 10, u16(1)), (at + 24, u64(len(frame)) + u64(15)), (start, frame), (at + 40, u64(xxh3(frame)))], found="model")
    case("a byte of its content", [name, f"byte {start}", "checksum"], [(start + 5, bytes([data[start + 5] ^ 1]))], "", "model")
    case("its checksum", [name, f"byte {start}", "checksum"], [(at + 40, bytes(8))], "d", "model")
    case("config.json missing", ["config.json", "none"], [(text, b"consig.json")])


def bad_models(bad):
    artifact = bad.artifact
    data = artifact.parts[0]
    record = artifact.file_at["config.json"]
    start, length = struct.unpack_from("<2Q", data, record + 16)
    config = data[start:start + length]

    def configured(title, says, text):
        assert len(text) <= length, title
        text = text.ljust(length)
        bad.add(f"config: {title}", ["config.json", *says], [(start, text), (record + 40, u64(xxh3(text)))], "d", found="model")

    def replaced(title, says, old, new):
        assert config.count(old) == 1, old
        configured(title, says, config.replace(old, new))

    configured("empty", ["byte"], b"")
    configured("no JSON", ["byte"], b"model_type: minimax_m2")
    configured("an array", ["object"], b"[1]")
    configured("cut", ["byte"], config[:100])
    configured("an object without keys", ["model_type"], b"{}")
    configured("deep nesting", ["nesting", "byte"], b"[" * 300)
    replaced("a key twice", ["byte", "vocab_size"], b'"hidden_size"', b'"vocab_size"')
    replaced("no layers", ["num_hidden_layers"], b'"num_hidden_layers": 1', b'"num_hidden_layers": 0')
    replaced("more experts than there are", ["block_sparse_moe.gate.weight", "shape [3, 16]"], b'"num_local_experts": 2', b'"num_local_experts": 3')
    replaced("a wider model", ["model.embed_tokens.weight", "shape"], b'"hidden_size": 16', b'"hidden_size": 32')
    replaced("a larger vocabulary", ["model.embed_tokens.weight", "shape [5, 16]", "shape [4, 16]"], b'"vocab_size": 4',
             b'"vocab_size": 5')
    record = artifact.file_at["ingot-provenance.json"]
    start, length = struct.unpack_from("<2Q", data, record + 16)
    text = b"{" * length
    bad.add("provenance: no JSON", ["ingot-provenance.json", "byte"], [(start, text), (record + 40, u64(xxh3(text)))], "d",
            found="model")
    expert = "model.layers.0.block_sparse_moe.experts.1.w1.weight"
    bad.add("model: an expert's tensor is missing", [expert, "none"], [(artifact.tensor_at[expert] + 8, u16(artifact.kinds.index("mixing")))], "d",
            found="model")
    bad.add("model: no head", ["lm_head.weight", "none"], [(artifact.tensor_at["lm_head.weight"] + 8, u16(artifact.kinds.index("auxiliary")))], "d",
            found="model")
    bad.add("model: a role twice", [expert, "expert 0"], [(artifact.tensor_at[expert] + 16, i32(0))], "d", found="model")
    router = "model.layers.0.block_sparse_moe.gate.weight"
    shape = u32(1) + u32(32)
    bad.add("model: another shape", [router, "shape [2, 16]", "shape [1, 32]"], [(artifact.tensor_at[router] + 32, shape)], "d",
            found="model")


def bad_payload(bad):
    artifact = bad.artifact
    data = artifact.parts[0]
    for name in (EMBEDDING, QUERY, "model.layers.0.block_sparse_moe.experts.1.w2.weight"):
        start = artifact.place[name][1]
        tensor = next(tensor for tensor in artifact.tensors if tensor.name == name)
        at = 0
        for index, plane in enumerate(tensor.planes):
            at = -(-at // 64) * 64
            place = start + at + len(plane) - 1
            bad.add(f"payload: plane {index + 1} of {name}", [name, f"byte {start + at}", "checksum"],
                    [(place, bytes([data[place] ^ 0x10]))], found="check")
            at += len(plane)
    at = artifact.tensor_at[QUERY]
    bad.add("payload: the checksum of a plane", [QUERY, "checksum"], [(at + 80, bytes(8))], "d", found="check")
    bad.add("payload: planes in another order", [QUERY, "checksum"], [(at + 80, data[at + 88:at + 96] + data[at + 80:at + 88])], "d",
            found="check")


def bad_parts(bad):
    artifact = bad.artifact
    second = artifact.parts[1]
    name = "tiny-split-00002-of-00003.ingot"
    bad.add("part 2 missing", [name], missing=1)
    bad.add("part 1 missing", ["tiny-split-00001-of-00003.ingot"], missing=0)
    bad.add("part 3 missing", ["tiny-split-00003-of-00003.ingot"], missing=2)
    bad.add("part 2 of another artifact", [name, "part 2 of 3"], [(48, bytes(8))], "h", part=1)
    bad.add("part 3 under the name of part 2", [name, "part 2 of 3", "part 3 of 3"], [(16, u32(2))], "h", part=1)
    bad.add("part 2 of four", [name, "part 2 of 3", "part 2 of 4"], [(20, u32(4))], "h", part=1)
    bad.add("part 2 cut", [name, "byte 24"], part=1, truncate=len(second) - 1)
    bad.add("part 2 empty", [name, "byte 0", "0 bytes"], part=1, truncate=0)
    bad.add("part 2 with a flag", [name, "byte 12"], [(12, u32(2))], "h", part=1)
    bad.add("part 2 with a directory", [name, "byte 32"], [(32, u64(128) + u64(24))], "h", part=1)
    bad.add("part 2 cut, length made to fit", ["part 2"], [(24, u64(len(second) - 64))], "h", part=1, truncate=len(second) - 64)
    tensor = "model.layers.0.block_sparse_moe.experts.0.w1.weight"
    at = artifact.tensor_at[tensor]
    # A changed directory has another checksum, so the other parts no longer belong to it.
    bad.add("directory changed, other parts not", [name, "part 2 of 3"], [(at + 20, u32(3))], "dh")
    place = artifact.place[tensor][1]
    bad.add("payload: a tensor in part 2", [name, tensor, f"byte {place}", "checksum"],
            [(place, bytes([second[place] ^ 1]))], part=1, found="check")
