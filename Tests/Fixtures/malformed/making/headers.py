"""SafeTensors files on their own."""

from making.base import raw


def good_entry(begin=0, end=8, name=None):
    text = f'{{"dtype":"F32","shape":[2],"data_offsets":[{begin},{end}]}}'
    return text if name is None else f'"{name}":{text}'


def header_cases(c):
    valid = raw("{" + good_entry(name="a.weight") + "}", bytes(8))
    c.header("ok-one-tensor", valid, None, "control: one tensor of two F32")
    c.header("ok-padded", raw("{" + good_entry(name="a") + "}   \n\t ", bytes(8)), None,
             "control: white space after the header's object")
    c.entry("ok-scalar", '{"dtype":"F32","shape":[],"data_offsets":[0,4]}', None,
            "control: no extents, one value", payload=4)
    c.entry("ok-empty", '{"dtype":"F32","shape":[0,4],"data_offsets":[0,0]}', None,
            "control: no values, no bytes", payload=0)
    c.entry("ok-any-order", '{"data_offsets":[0,8],"shape":[2],"dtype":"F32"}', None,
            "control: keys of an entry in another order")
    c.header("ok-not-in-file-order",
             raw("{" + good_entry(8, 16, "a") + "," + good_entry(0, 8, "b") + "}", bytes(16)),
             None, "control: header order is not buffer order")
    c.header("ok-escaped-name", raw('{"\\u0061.weight":' + good_entry() + "}", bytes(8)), None,
             "control: a name written with escapes")

    c.header("empty-file", b"", ["0 bytes"], "no bytes at all")
    c.header("seven-bytes", valid[:7], ["7 bytes"], "ends inside the header length")
    c.header("length-only", valid[:8], [], "ends after the header length")
    c.header("cut-in-header", valid[:40], [], "ends inside the header")
    c.header("header-past-end", raw("{" + good_entry(name="a") + "}", bytes(8), 4096), ["4096"],
             "a header longer than the file")
    c.header("payload-short", valid[:-1], ["a.weight"], "one byte of payload is missing")
    c.header("payload-long", valid + b"\0", ["1"], "one byte too many after the last tensor")
    c.header("length-zero", raw("", bytes(8)), [], "header length 0")
    c.header("length-over-limit", raw("{}", b"", 100_000_001), ["100000001"],
             "header length one above 100 MB")
    c.header("length-2-63", raw("{}", b"", 1 << 63), ["9223372036854775808"],
             "header length that is negative when signed")
    c.header("length-all-ones", raw("{}", b"", (1 << 64) - 1), ["18446744073709551615"],
             "header length whose sum with 8 overflows")
    c.header("length-2-63-less-8", raw("{}", b"", (1 << 63) - 8), ["9223372036854775800"],
             "header length whose sum with 8 overflows when signed")

    c.header("not-utf-8", raw(b'{"\xff\xfe":' + good_entry().encode() + b"}", bytes(8)), [],
             "a name that is not UTF-8")
    c.header("surrogate", raw(b'{"\xed\xa0\x80":' + good_entry().encode() + b"}", bytes(8)), [],
             "a surrogate written as UTF-8")
    c.header("lone-surrogate-escape", raw('{"\\ud800":' + good_entry() + "}", bytes(8)), [],
             "half a surrogate pair as an escape")
    c.header("overlong-utf-8", raw(b'{"\xc0\xaf":' + good_entry().encode() + b"}", bytes(8)), [],
             "a slash in two bytes")
    c.header("byte-order-mark", raw(b"\xef\xbb\xbf{" + good_entry(name="a").encode() + b"}",
                                    bytes(8)), [], "a byte order mark before the object")
    c.header("leading-space", raw(" {" + good_entry(name="a") + "}", bytes(8)), [],
             "the header must begin with '{'")
    c.header("array", raw("[" + good_entry() + "]", bytes(8)), [], "an array instead of an object")
    c.header("number", raw("17"), [], "a number instead of an object")
    c.header("null", raw("null"), [], "null instead of an object")
    c.header("zeros", raw(bytes(64)), [], "a header of zero bytes")
    c.header("garbage-after", raw("{" + good_entry(name="a") + "}x", bytes(8)), [],
             "a letter after the object")
    c.header("second-object", raw("{" + good_entry(name="a") + "}{}", bytes(8)), [],
             "a second object after the first")
    c.header("nul-padding", raw("{" + good_entry(name="a") + "}\0\0", bytes(8)), [],
             "padding with NUL instead of spaces")
    c.header("trailing-comma", raw("{" + good_entry(name="a") + ",}", bytes(8)), [],
             "a comma before the closing brace")
    c.header("single-quotes", raw("{'a':" + good_entry() + "}", bytes(8)), [], "quotes of Python")
    c.header("comment", raw("{/*x*/" + good_entry(name="a") + "}", bytes(8)), [], "a comment")
    c.header("unclosed", raw("{" + good_entry(name="a"), bytes(8)), [], "no closing brace")
    c.header("raw-newline-in-name", raw('{"a\nb":' + good_entry() + "}", bytes(8)), [],
             "a line end inside a string")
    c.header("bad-escape", raw('{"\\x41":' + good_entry() + "}", bytes(8)), [],
             "an escape that JSON does not have")

    c.header("duplicate-name", raw(
        "{" + good_entry(0, 8, "a.weight") + "," + good_entry(8, 16, "a.weight") + "}", bytes(16)),
        ["a.weight"], "one name twice")
    c.header("duplicate-name-escaped", raw(
        "{" + good_entry(0, 8, "a.weight") + "," + good_entry(8, 16, "\\u0061.weight") + "}",
        bytes(16)), ["a.weight"], "one name twice, once written with an escape")
    c.header("duplicate-metadata", raw(
        '{"__metadata__":{},"__metadata__":{},' + good_entry(name="a") + "}", bytes(8)),
        ["__metadata__"], "__metadata__ twice")
    c.header("duplicate-metadata-key", raw(
        '{"__metadata__":{"k":"1","k":"2"},' + good_entry(name="a") + "}", bytes(8)), ["k"],
        "a key of __metadata__ twice")
    c.entry("duplicate-dtype",
            '{"dtype":"F32","dtype":"I32","shape":[2],"data_offsets":[0,8]}', ["dtype"],
            "dtype twice, values that differ")
    c.entry("duplicate-shape", '{"dtype":"F32","shape":[2],"shape":[2],"data_offsets":[0,8]}',
            ["shape"], "shape twice")
    c.entry("duplicate-offsets",
            '{"dtype":"F32","shape":[2],"data_offsets":[0,8],"data_offsets":[0,8]}',
            ["data_offsets"], "data_offsets twice")

    c.entry("dtype-unknown", '{"dtype":"F33","shape":[2],"data_offsets":[0,8]}', ["F33"],
            "no such type")
    c.entry("dtype-lower-case", '{"dtype":"f32","shape":[2],"data_offsets":[0,8]}', ["f32"],
            "types are upper case")
    c.entry("dtype-number", '{"dtype":32,"shape":[2],"data_offsets":[0,8]}', [],
            "a number for a type")
    c.entry("dtype-null", '{"dtype":null,"shape":[2],"data_offsets":[0,8]}', [],
            "null for a type")
    c.entry("no-dtype", '{"shape":[2],"data_offsets":[0,8]}', ["dtype"], "dtype is missing")
    c.entry("no-shape", '{"dtype":"F32","data_offsets":[0,8]}', ["shape"], "shape is missing")
    c.entry("no-offsets", '{"dtype":"F32","shape":[2]}', ["data_offsets"],
            "data_offsets are missing")
    c.entry("entry-empty", "{}", [], "an entry without keys")
    c.entry("entry-array", '["F32",[2],[0,8]]', [], "an array for an entry")
    c.entry("entry-null", "null", [], "null for an entry")
    c.entry("extra-key", '{"dtype":"F32","shape":[2],"data_offsets":[0,8],"order":"C"}', ["order"],
            "a key that the format does not have")

    c.entry("offset-negative", '{"dtype":"F32","shape":[2],"data_offsets":[-8,0]}', [],
            "a negative begin")
    c.entry("offset-minus-zero", '{"dtype":"F32","shape":[2],"data_offsets":[-0,8]}', [],
            "minus zero is no unsigned integer")
    c.entry("offset-fraction", '{"dtype":"F32","shape":[2],"data_offsets":[0,8.0]}', [],
            "a fraction, though a whole one")
    c.entry("offset-exponent", '{"dtype":"F32","shape":[250],"data_offsets":[0,1e3]}', [],
            "an exponent, though a whole number", payload=1000)
    c.entry("offset-leading-zero", '{"dtype":"F32","shape":[2],"data_offsets":[0,08]}', [],
            "a leading zero")
    c.entry("offset-string", '{"dtype":"F32","shape":[2],"data_offsets":["0","8"]}', [],
            "numbers as strings")
    c.entry("offset-past-end", '{"dtype":"F32","shape":[4],"data_offsets":[0,16]}', ["16"],
            "a tensor longer than the buffer")
    c.entry("offset-2-63", '{"dtype":"F32","shape":[2],"data_offsets":[9223372036854775800,'
            '9223372036854775808]}', [], "offsets around 2^63")
    c.entry("offset-2-64", '{"dtype":"F32","shape":[2],"data_offsets":[18446744073709551608,'
            '18446744073709551616]}', [], "an end that no 64-bit number holds")
    c.entry("offset-30-digits", '{"dtype":"F32","shape":[2],"data_offsets":[0,'
            + "9" * 30 + "]}", [], "an end of 30 digits")
    c.entry("offsets-one", '{"dtype":"F32","shape":[2],"data_offsets":[8]}', ["data_offsets"],
            "one offset")
    c.entry("offsets-three", '{"dtype":"F32","shape":[2],"data_offsets":[0,8,8]}', [],
            "three offsets")
    c.entry("offsets-inverted", '{"dtype":"F32","shape":[2],"data_offsets":[8,0]}', [],
            "the end before the begin")
    c.entry("size-too-small", '{"dtype":"F32","shape":[3],"data_offsets":[0,8]}', ["8"],
            "fewer bytes than type and shape need")
    c.entry("size-too-large", '{"dtype":"F32","shape":[1],"data_offsets":[0,8]}', ["8"],
            "more bytes than type and shape need")
    c.entry("offset-not-at-start", '{"dtype":"F32","shape":[2],"data_offsets":[8,16]}', [],
            "the first tensor does not begin at 0", payload=16)
    c.header("overlap", raw(
        "{" + good_entry(0, 8, "a") + "," + good_entry(4, 12, "b.weight") + "}", bytes(12)),
        ["b.weight"], "two tensors share four bytes")
    c.header("same-place", raw(
        "{" + good_entry(0, 8, "a.weight") + "," + good_entry(0, 8, "b.weight") + "}", bytes(8)),
        ["b.weight"], "two tensors share all their bytes")
    c.header("hole", raw(
        "{" + good_entry(0, 8, "a") + "," + good_entry(12, 20, "b.weight") + "}", bytes(20)),
        ["b.weight"], "four bytes belong to nobody")
    c.header("only-payload", raw("{}", bytes(8)), ["8"], "bytes without any tensor")

    c.entry("shape-product-overflow", '{"dtype":"F32","shape":[1099511627776,1099511627776],'
            '"data_offsets":[0,0]}', [], "2^40 × 2^40 values wrap around to 0", payload=0)
    c.entry("shape-bytes-overflow", '{"dtype":"F64","shape":[2305843009213693952],'
            '"data_offsets":[0,0]}', [], "2^61 values of 8 bytes wrap around to 0", payload=0)
    c.entry("shape-zero-times-overflow", '{"dtype":"F32","shape":[1099511627776,1099511627776,0],'
            '"data_offsets":[0,0]}', [], "a product that overflows before it meets the 0", payload=0)
    c.entry("shape-2-64", '{"dtype":"F32","shape":[18446744073709551618],"data_offsets":[0,8]}',
            [], "an extent that is 2 modulo 2^64")
    c.entry("shape-negative", '{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}', [],
            "a negative extent")
    c.entry("shape-two-negatives", '{"dtype":"F32","shape":[-1,-2],"data_offsets":[0,8]}', [],
            "negative extents whose product fits")
    c.entry("shape-fraction", '{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}', [],
            "a fraction as an extent")
    c.entry("shape-number", '{"dtype":"F32","shape":2,"data_offsets":[0,8]}', [],
            "a number for a shape")
    c.entry("shape-nested", '{"dtype":"F32","shape":[[2]],"data_offsets":[0,8]}', [],
            "an array as an extent")
    c.entry("shape-10000-dims", '{"dtype":"F32","shape":[' + ",".join(["1"] * 10_000)
            + '],"data_offsets":[0,4]}', [], "ten thousand extents of 1", payload=4)
    c.entry("f4-odd", '{"dtype":"F4","shape":[3],"data_offsets":[0,2]}', ["F4"],
            "three values of four bits do not end on a byte", payload=2)
    c.entry("f6-odd", '{"dtype":"F6_E2M3","shape":[3],"data_offsets":[0,3]}', ["F6_E2M3"],
            "three values of six bits do not end on a byte", payload=3)

    c.header("deep-arrays", raw('{"a":' + "[" * 10_000 + "]" * 10_000 + "}"), [],
             "ten thousand arrays in each other")
    c.header("deep-objects", raw('{"a":' * 10_000 + "1" + "}" * 10_000), [],
             "ten thousand objects in each other")
    c.header("deep-metadata", raw('{"__metadata__":' + "[" * 10_000 + "]" * 10_000 + "}"), [],
             "ten thousand arrays in __metadata__")
    c.header("name-terminal-escape", raw(
        '{"\\u001b[2J\\u001b]0;x\\u0007":{"dtype":"F33","shape":[2],"data_offsets":[0,8]}}',
        bytes(8)), ["F33", "\\u{1b}"], "a name that would clear a terminal; it must be shown escaped")
    c.header("name-bidirectional", raw(
        '{"a\\u202etxt.exe":{"dtype":"F33","shape":[2],"data_offsets":[0,8]}}', bytes(8)),
        ["F33", "\\u{202e}"], "a name that would be shown in another order")
    c.header("dtype-terminal-escape", raw(
        '{"a.weight":{"dtype":"\\u001b[31mF32","shape":[2],"data_offsets":[0,8]}}', bytes(8)),
        ["a.weight", "\\u{1b}"], "a type that would colour a terminal")
    c.header("name-newline-error", raw(
        '{"a\\nerror: all is well":{"dtype":"F33","shape":[2],"data_offsets":[0,8]}}', bytes(8)),
        ["F33", "\\u{a}"], "a name that would write a second line")
    c.header("name-long", raw(
        '{"' + "n" * 20_000 + '":{"dtype":"F33","shape":[2],"data_offsets":[0,8]}}', bytes(8)),
        ["F33"], "a name of 20,000 letters; the message must stay short")

    c.header("metadata-array", raw('{"__metadata__":[],' + good_entry(name="a") + "}", bytes(8)),
             [], "__metadata__ is an array")
    c.header("metadata-string", raw('{"__metadata__":"pt",' + good_entry(name="a") + "}", bytes(8)),
             [], "__metadata__ is a string")
    c.header("metadata-number", raw(
        '{"__metadata__":{"step":3},' + good_entry(name="a") + "}", bytes(8)), [],
        "a value of __metadata__ is a number")
    c.header("metadata-null", raw(
        '{"__metadata__":{"step":null},' + good_entry(name="a") + "}", bytes(8)), [],
        "a value of __metadata__ is null")
    c.header("metadata-nested", raw(
        '{"__metadata__":{"a":{"b":"c"}},' + good_entry(name="a") + "}", bytes(8)), [],
        "a value of __metadata__ is an object")
