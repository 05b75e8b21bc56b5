"""Small tokenizers of every kind of normalizer, pre-tokenizer and decoder that published files use, with texts and the tokens that
Hugging Face tokenizers gives them. Used by make-tokenizer-vectors, which writes them to Tests/Fixtures/tokenizer/kinds."""

import json
import random

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

TEXTS = """
 leading, trailing 
two  spaces   three\tTab\r\nline\n\nlines\u00a0no-break\u3000wide\u200bzero\u2009thin\u0085next
Å Å Å a\u0308 e\u0301\u0323 e\u0323\u0301 \u1e9b\u0323 q\u0307\u0323 \u0344 \u0958 \u2126 \u212a \u0390 \u1fee
\u0301start \u0301\u0302\u0303 a\u0300\u0301\u0302\u0303\u0304\u0305\u0306\u0307\u0308\u0309\u0323\u0324\u0325\u0326 \u0300
한국어 각 \u1112\u1161\u11ab\u1100\u116e\u11a8 \uac00\u11a8 \u1100\u1100\u1161 \u1161\u11a8 \uac01\u11a8 \u1100\u1161\u0301\u11a8 ㄱㄴㄷ ﾡﾢ
豈更車 \u2f00\u2f9d ﾊﾞ ﾊﾟ か\u3099 は\u309a が 〱 ㍿ ㌔ ㎏ ㈱ ⑴ ⒈ ① ㊙ ㏒ ﷺ ﷼ ﹁ ︷
ﬁ ﬂ ﬃ ſt ĳ Ǆ ǆ ⅷ Ⅻ ½ ⅔ x² y₃ ™ ℃ ℡ … ‥ ′″ ⁗ ‼ ／ ＡＢＣ１２３ ｶﾀｶﾅ 𝔘𝔫𝔦 𝟙𝟚 🄰 🈁 🆒
👩‍👩‍👧‍👦 👍🏽 🏳️‍🌈 🇺🇳🇯🇵 1️⃣ #️⃣ ❤️‍🔥 ☕︎
ब\u093cि क\u093c \u0915\u093c \u09c7\u09be \u09c7\u09d7 \u0b47\u0b56 \u0bc6\u0bbe \u0cc6\u0cc2 \u0d46\u0d3e \u0dd9\u0dcf\u0dca \u0f71\u0f72 \u0f73 \u1025\u102e
שׁ \u05e9\u05c1 \u05bc\u05c1 \ufb2c ﷲ \u0627\u0653 آ ي\u0654 \u064b\u0651 \u0651\u064b
don't, we'll: 12345 1,000.50 (x)[y]{z} <a>&b; a_b __init__ C++ !!! ?! “quotes” «guil» ¿qué? 。、！？「」 ۔ ، ؟ ᙭ 𑇉 ⹊ $+<=>^`|~
def f(x):\n\treturn x*2  # ½\n\n\nclass A:\n    pass
1 22 333 4444 ٣٤٥ ४५६ Ⅷ ² ½ １２３ 12a34 a1b22c333
▁▁a▁ b ▁ c▁d <0x41> <0xE6> <0x0A> <unk> <s> </s>
İstanbul ILIK ıšß ẞ ΣΑΣ σας Ǆ ŉ ﬀ
\U0001d15e \U0001d1bb\U0001d16e \U00011099\U000110ba \U00011131\U00011127 \U0002f800 \U0002fa1d \U0010ffff \U000e0041
Hello world! This is a test of 3 tokens.
<left> a<right>  b <x><x> \u00c5tok A\u030atok <s>text</s> <s>  text
\u32ff \u1e9e \ua7f2 \u0cf3 \U00010781
""".split("\n")
MARKS = [chr(c) for c in list(range(0x300, 0x345)) + [0x5b0, 0x5bc, 0x64b, 0x651, 0x93c, 0x94d, 0x9be, 0x1161, 0x11a8, 0x3099, 0x20d0, 0x1d165]]
BLOCKS = [
    (0x20, 0x7e), (0x20, 0x7e), (0xa0, 0x24f), (0x370, 0x3ff), (0x400, 0x45f), (0x5d0, 0x5ea), (0x620, 0x6ff), (0x900, 0xdff), (0x1100, 0x11ff),
    (0x1e00, 0x1fff), (0x2000, 0x214f), (0x2150, 0x24ff), (0x2e80, 0x30ff), (0x3200, 0x33ff), (0x4e00, 0x9fff), (0xac00, 0xd7a3),
    (0xf900, 0xfb4f), (0xfb50, 0xffef), (0x1d100, 0x1d7ff), (0x1f100, 0x1f5ff), (0x2f800, 0x2fa1f)]


def texts(rng):
    out = list(TEXTS)
    for _ in range(130):
        text = ""
        for _ in range(rng.randint(2, 9)):
            text += chr(rng.randint(*rng.choice(BLOCKS)))
            text += "".join(rng.choice(MARKS) for _ in range(rng.choice([0, 0, 1, 1, 2, 3])))
            text += rng.choice(["", "", "", " ", "  ", "\n", ".", "7", "a"])
        out.append(text)
    return list(dict.fromkeys(out))


BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def trained(corpus, normalizer, pre, decoder, size=340, bytewise=True, fallback=False, **model):
    special = ["<unk>", "<s>", "</s>"] + (BYTES if fallback else [])
    tokenizer = Tokenizer(models.BPE(unk_token=None if bytewise else "<unk>", byte_fallback=fallback, **model))
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    if pre is not None:
        tokenizer.pre_tokenizer = pre
    if decoder is not None:
        tokenizer.decoder = decoder
    tokenizer.train_from_iterator(corpus, trainers.BpeTrainer(
        vocab_size=size + (260 if fallback else 0), show_progress=False, special_tokens=special, limit_alphabet=120,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet() if bytewise else []))
    return tokenizer


def byte_level(*before, after=(), space=False, regex=True):
    parts = [*before, pre_tokenizers.ByteLevel(add_prefix_space=space, use_regex=regex), *after]
    return parts[0] if len(parts) == 1 else pre_tokenizers.Sequence(parts)


def sequence(*parts):
    return normalizers.Sequence(list(parts))


def cased(end, slash, narrowed=""):
    """Words that end where lower case turns to upper, then numbers, signs and spaces."""
    upper, lower = (r"[\p{%s}\p{%s}\p{Lm}\p{Lo}\p{M}%s]" % (*cases, narrowed) for cases in (("Lu", "Lt"), ("Ll", "Lm")))
    lower = lower.replace(r"\p{Lm}\p{Lm}", r"\p{Lm}")
    sign = r"[^\r\n\p{L}\p{N}]?"
    return (f"{sign}{upper}*{lower}+{end}|{sign}{upper}+{lower}*{end}"
            + r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n" + slash + r"]*|\s*[\r\n]+|\s+(?!\S)|\s+")


DEEPSEEK = [
    r"\p{N}{1,3}", "[一-龥\u3040-ゟ゠-ヿ]+",
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"""
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"]


def kinds(corpus):
    n, p, d = normalizers, pre_tokenizers, decoders
    llama = d.Sequence([d.Replace("▁", " "), d.ByteFallback(), d.Fuse(), d.Strip(" ", 1, 0)])
    gemma = d.Sequence([d.Replace("▁", " "), d.ByteFallback(), d.Fuse()])
    qwen = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    split = p.Split(Regex(qwen), "isolated")

    def of(normalizer, pre, decoder=None, **more):
        return trained(corpus, normalizer, pre, decoder or d.ByteLevel(), **more)

    def characters(normalizer, pre, decoder, **more):
        return trained(corpus, normalizer, pre, decoder, bytewise=False, **more)

    made = {
        "qwen": of(n.NFC(), byte_level(split, regex=False)),
        "nfd": of(n.NFD(), byte_level()),
        "nfkc": of(n.NFKC(), byte_level(space=True)),
        "nfkd": of(sequence(n.NFKD(), n.NFC(), n.Replace(Regex(r"\s+"), " ")), byte_level()),
        "llama2": characters(sequence(n.Prepend("▁"), n.Replace(" ", "▁")), None, llama, fallback=True, fuse_unk=True),
        "gemma": characters(n.Replace(" ", "▁"), p.Split(" ", "merged_with_previous"), gemma, fallback=True, fuse_unk=True),
        "mistral": characters(None, p.Metaspace("▁", "first", False), llama, fallback=True, fuse_unk=True, ignore_merges=True),
        "metaspace": characters(n.NFKC(), p.Metaspace(), d.Metaspace(), fuse_unk=True),
        "metaspace-never": characters(sequence(n.Replace("  ", " "), n.NFC()), p.Metaspace("_", "never", True), d.Metaspace("_", "never")),
        "metaspace-first": characters(None, p.Sequence([p.Punctuation("isolated"), p.Metaspace("▁", "first", True)]), d.Metaspace("▁", "first")),
        "falcon": of(None, p.Sequence([
            p.Punctuation("contiguous"), p.ByteLevel(add_prefix_space=False), p.Digits(individual_digits=False),
            p.Split(Regex("[0-9][0-9][0-9]"), "isolated")])),
        "punctuation": of(n.NFC(), byte_level(
            p.Split(Regex(r"\p{N}"), "removed"), p.Punctuation("merged_with_previous"), p.Digits(True), space=True)),
        "after": of(None, byte_level(after=[p.Punctuation("merged_with_next"), p.Digits(True), p.Split("Ġt", "isolated")])),
        "whitespace": characters(n.NFC(), p.Whitespace(), None),
        "whitespace-split": characters(None, p.Sequence([p.WhitespaceSplit(), p.CharDelimiterSplit("-")]), d.Fuse()),
        "nothing": characters(None, None, d.Sequence([d.Strip("<", 1, 0), d.Replace(Regex("[0-9]+"), "#"), d.Fuse()])),
    }
    # Added behind the others, so that texts drawn for those stay.
    contraction = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
    for name, pattern, normalizer, more in [
        ("gpt-oss", cased(contraction + "?", "/"), None, {}),
        ("kimi", r"[\p{Han}]+|" + cased(contraction + "?", "", r"&&[^\p{Han}]"), None, {}),
        ("glm", contraction + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+", None,
         {"ignore_merges": True}),
        ("qwen35", contraction + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
         n.NFC(), {}),
    ]:
        made[name] = of(normalizer, byte_level(p.Split(Regex(pattern), "isolated"), regex=False), **more)
    made["deepseek-v3"] = of(None, byte_level(*(p.Split(Regex(pattern), "isolated") for pattern in DEEPSEEK), regex=False))
    for name in ("qwen", "llama2", "nfd"):
        made[name].add_tokens([AddedToken("<left>", lstrip=True, normalized=True), AddedToken("<right>", rstrip=True, normalized=False),
                               AddedToken("<x>", normalized=True), AddedToken("Åtok", normalized=True)])
    made["llama2"].post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)])
    return made


def write(out, corpus, packed, line, lines, seed):
    """Writes the tokenizers and kinds.json: texts, and for each tokenizer [text, tokens, what they decode to].

    A tokenizer that is there stays, since training differs from run to run: remove its file to have another one."""
    out.mkdir(parents=True, exist_ok=True)
    rng = random.Random(seed)
    every = texts(rng)
    sets, rows = [], 0
    for name, tokenizer in kinds(corpus).items():
        stored = json.loads(tokenizer.to_str())
        # Tokens of bytes are pieces like others, not looked for in texts.
        stored["added_tokens"] = [token for token in stored["added_tokens"] if token["content"] not in BYTES]
        if not (out / f"{name}.json").exists():
            (out / f"{name}.json").write_text(json.dumps(stored, ensure_ascii=False, separators=(",", ":")) + "\n")
        tokenizer = Tokenizer.from_file(str(out / f"{name}.json"))
        cases = []
        for index in sorted(set(range(len(TEXTS))) | set(rng.sample(range(len(every)), 45))):
            if index >= len(every):
                continue
            ids = tokenizer.encode(every[index], add_special_tokens=False).ids
            back = tokenizer.decode(ids, skip_special_tokens=False)
            cases.append([index, packed(ids), *([] if back == every[index] else [back])])
        size = tokenizer.get_vocab_size()
        decodings = []
        for _ in range(12):
            ids = [rng.randrange(size + 2) for _ in range(rng.randint(1, 10))]
            skips = rng.random() < 0.5
            decodings.append([packed(ids), skips, tokenizer.decode(ids, skip_special_tokens=skips)])
        rows += len(cases)
        sets.append("{" + f'"name":{line(name)},\n"cases":{lines(cases)},\n"decodings":{lines(decodings)}' + "}")
    with open(out / "kinds.json", "w", encoding="utf-8", newline="\n") as file:
        file.write('{"texts":' + lines(every) + ',\n"sets":[\n' + ",\n".join(sets) + "\n]}\n")
    print(len(sets), "kinds of tokenizers,", rows, "encodings,", sum(path.stat().st_size for path in out.glob("*.json")), "bytes")
