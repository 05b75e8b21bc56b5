"""Random small templates, from a seed: statements within statements, expressions that mostly fit their types."""
import random

VARIABLES = {
    "s": "Hello, World", "u": "Größe 温度", "w": "  pad\t\n", "e": "", "n": 7, "z": 0, "f": 2.5, "t": True, "q": False, "o": None,
    "l": [3, 1, 2], "ls": ["b", "A", "c"], "d": {"b": 1, "a": "x", "items": [1]}, "rows": [{"name": "kim", "age": 30}, {"name": "Ana", "age": 25}, {"name": "bo"}],
    "messages": [{"role": "user", "content": "Hi\n"}, {"role": "assistant", "content": None, "calls": [{"name": "f", "arguments": {"x": 1.0}}]}],
}

# Expressions within f-strings take no quotation marks of their own.
T0 = '8, false, \"\", 0'
T1 = '0, \"floor\"'
T2 = 'map(\"string\")|list'
T3 = 'reject(\"none\")|list'
T4 = 'map(\"length\")|list'
T5 = 'select(\"string\")|list'
T6 = 'map(attribute=\"name\")|list'
T7 = 'selectattr(\"age\")|list'
T8 = 'rejectattr(\"age\", \"gt\", 26)|list'
T9 = 'groupby(\"name\")|list'
T10 = 'sort(attribute=\"name\")'
T11 = 'selectattr(\"age\", \"defined\")|map(attribute=\"age\")|list'
T12 = 'replace(\"a\", \"_\")'
COMMA, ELL = "','", "'l'"

# The class has methods of these names.
Text = str
Number = int


class Fuzz:
    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.names = {"str": ["s", "u", "w", "e"], "int": ["n", "z"], "list": ["l", "ls", "rows", "messages"], "dict": ["d"], "bool": ["t", "q"]}
        self.macros: list[Text] = []
        self.namespaces: list[Text] = []
        self.loops = 0

    def pick(self, *options):
        return self.rng.choice(options)

    def maybe(self, chance: float) -> bool:
        return self.rng.random() < chance

    def any(self, depth: Number) -> Text:
        kind = self.pick("str", "str", "int", "list", "dict", "bool", "odd")
        return self.odd(depth) if kind == "odd" else getattr(self, kind)(depth)

    def odd(self, depth: Number) -> Text:
        options = ["none", "missing", "f", "1.5", "o", "missing2|default('m')", "range(3)", "d.items()", "(1, 'a')", "rows[2].age", "messages[1].content", "d.nope", "l[9]", "d['a']", "rows|first", "loop", "x", "y"]
        if self.loops:
            options += ["loop.index", "loop.first", "loop.last", "loop.previtem", "loop.nextitem", "loop.length", "loop.revindex0"] * 2
        for name in self.namespaces:
            options += [f"{name}.v", f"{name}.v", f"{name}.other"]
        for name in self.macros:
            options += [f"{name}({self.any(depth - 1)})" if depth > 0 else f"{name}()", f"{name}(b={self.int(0)})"]
        return self.rng.choice(options)

    def str(self, depth: Number) -> Text:
        if depth <= 0 or self.maybe(0.3):
            return self.pick(*self.names["str"], "'a'", "'<b>'", "\"it's\"", "' x '", "'é' 'f'", "'1,2,3'", "'%s'", "''")
        d = depth - 1
        return self.pick(
            lambda: f"{self.str(d)} + {self.str(d)}", lambda: f"{self.any(d)} ~ {self.any(d)}", lambda: f"({self.str(d)})|{self.pick('upper', 'lower', 'title', 'trim', 'capitalize', 'string', 'e', 'safe', 'reverse', 'center(9)')}",
            lambda: f"({self.str(d)}).{self.pick('upper()', 'strip()', 'lstrip()', 'rstrip(chr)', 'title()', 'capitalize()').replace('chr', self.str(0))}", lambda: f"({self.str(d)})|replace({self.str(0)}, {self.str(0)})", lambda: f"({self.list(d)})|join({self.str(0)})",
            lambda: f"({self.any(d)})|tojson", lambda: f"({self.any(d)})|string", lambda: f"({self.str(d)})[{self.pick('0', '-1', '1:', ':2', '::-1', '1:3')}]", lambda: f"({self.str(d)} if {self.bool(d)} else {self.str(d)})", lambda: f"({self.str(d)} if {self.bool(d)})",
            lambda: f"({self.str(d)})|indent({self.pick('2', '1, true', '2, false, true')})", lambda: f"({self.str(d)})|truncate({self.pick('3', '5, true', '9', T0)})", lambda: f"'{self.pick('%s-%s', '%r %s', '%5s|%-4s')}' % ({self.any(d)}, {self.any(d)})", lambda: f"'{self.pick('{}:{}', '{0!r}{1}', '{1:>5}')}'.format({self.any(d)}, {self.str(d)})",
            lambda: f"({self.str(d)}) * {self.pick('2', '0', '3')}", lambda: f"({self.str(d)}).split({self.pick('', COMMA, 'none, 1')})[{self.pick('0', '-1')}]", lambda: f"({self.any(d)})|default({self.str(d)}{self.pick('', ', true')})", lambda: f"({self.list(d)})|{self.pick('first', 'last')}",
        )()

    def int(self, depth: Number) -> Text:
        if depth <= 0 or self.maybe(0.3):
            return self.pick(*self.names["int"], "0", "1", "2", "-3", "10")
        d = depth - 1
        return self.pick(
            lambda: f"({self.int(d)} {self.pick('+', '-', '*', '//', '%', '/', '**')} {self.int(0)})", lambda: f"({self.any(d)})|length", lambda: f"({self.list(d)})|length", lambda: f"-{self.int(0)}", lambda: f"({self.str(d)})|int", lambda: f"({self.int(d)})|abs", lambda: f"({self.str(d)}).find({self.str(0)})", lambda: f"({self.list(0)})|sum",
            lambda: f"({self.list(d)})|{self.pick('max', 'min')}", lambda: f"({self.int(d)} / 2)|round({self.pick('', '1', T1)})", lambda: f"({self.str(d)})|wordcount",
        )()

    def bool(self, depth: Number) -> Text:
        if depth <= 0 or self.maybe(0.2):
            return self.pick(*self.names["bool"], "true", "false", "missing", "l", "e", "loop is defined")
        d = depth - 1
        return self.pick(
            lambda: f"({self.int(d)} {self.pick('<', '>', '==', '!=', '<=', '>=')} {self.int(d)})", lambda: f"({self.str(d)} {self.pick('==', '!=', 'in', 'not in', '<')} {self.str(d)})", lambda: f"({self.any(d)} {self.pick('==', '!=')} {self.any(d)})", lambda: f"not {self.bool(d)}", lambda: f"({self.bool(d)} {self.pick('and', 'or')} {self.bool(d)})",
            lambda: f"({self.any(d)}) is {self.pick('', 'not ')}{self.pick('defined', 'none', 'string', 'number', 'iterable', 'mapping', 'sequence', 'undefined', 'boolean', 'true', 'false', 'integer', 'float', 'callable')}", lambda: f"({self.int(d)}) is {self.pick('odd', 'even', 'divisibleby 2', 'gt 1', 'in l')}", lambda: f"({self.any(d)} in {self.list(d)})", lambda: f"({self.str(d)}).{self.pick('startswith', 'endswith')}({self.str(0)})",
            lambda: f"({self.str(0)} in {self.dict(d)})", lambda: f"{self.int(0)} < {self.int(0)} <= {self.int(0)}",
        )()

    def list(self, depth: Number) -> Text:
        if depth <= 0 or self.maybe(0.3):
            return self.pick(*self.names["list"], "[]", "[1, 2]", "['a', 'b']", "range(3)|list")
        d = depth - 1
        return self.pick(
            lambda: f"[{self.any(d)}, {self.any(d)}]", lambda: f"({self.list(d)} + {self.list(d)})", lambda: f"({self.list(d)})|{self.pick('sort', 'reverse|list', 'list', 'unique|list', T2, 'select|list', T3, 'sort(reverse=true)', 'batch(2)|list', 'slice(2)|list', T4, T5)}",
            lambda: f"({self.list(d)})[{self.pick('1:', ':2', '::-1', '-2:', '::2')}]", lambda: f"({self.str(d)}).split({self.pick('', COMMA, 'none, 1', ELL)})", lambda: f"({self.dict(d)})|{self.pick('list', 'dictsort', 'items|list')}", lambda: f"({self.dict(d)}).{self.pick('keys', 'values', 'items')}()|list",
            lambda: f"rows|{self.pick(T6, T7, T8, T9, T10, T11)}", lambda: f"({self.str(d)})|list", lambda: f"({self.str(d)}).splitlines()",
        )()

    def dict(self, depth: Number) -> Text:
        if depth <= 0 or self.maybe(0.4):
            return self.pick(*self.names["dict"], "{}", "{'k': 1}", "rows[0]", "messages[-1]")
        d = depth - 1
        return self.pick(lambda: f"{{'a': {self.any(d)}, 'b': {self.any(d)}}}", lambda: f"{{{self.str(0)}: {self.any(d)}}}", lambda: f"dict({self.dict(d)}, z={self.any(d)})", lambda: f"{{{self.int(0)}: {self.any(d)}, none: 1}}")()

    # Statements

    def open(self) -> Text:
        return self.pick("{%", "{%", "{%-", "{%+") if self.maybe(0.5) else "{%"

    def close(self) -> Text:
        return self.pick("%}", "%}", "-%}", "+%}") if self.maybe(0.5) else "%}"

    def tag(self, text: Text) -> Text:
        return f"{self.open()} {text} {self.close()}"

    def data(self) -> Text:
        return self.pick("a", " b ", "\n", "  ", "\n\n", "x\n  ", "\t", "<p>\n", "{ ", " }", "\n   y", "é ", "#", "%")

    def printing(self, depth: Number) -> Text:
        left, right = self.pick(("{{", "}}"), ("{{", "}}"), ("{{-", "}}"), ("{{", "-}}"))
        return f"{left} {self.any(depth)} {right}"

    def body(self, depth: Number) -> Text:
        return "".join(self.statement(depth) for _ in range(self.rng.randint(1, 3)))

    def fresh(self) -> Text:
        return self.pick("x", "y", "v", "acc", "s", "l", "n")

    def statement(self, depth: Number) -> Text:
        if depth <= 0:
            return self.pick(self.data, lambda: self.printing(1))()
        d = depth - 1
        return self.pick(
            self.data, self.data, lambda: self.printing(2), lambda: self.printing(3), lambda: self.condition(d), lambda: self.loop(d), lambda: self.loop(d), lambda: self.assign(), lambda: self.assign(), lambda: self.macro(d), lambda: self.tag(f"set {self.fresh()}") + self.body(d) + self.tag("endset"),
            lambda: self.tag(f"filter {self.pick('upper', 'trim', T12, 'indent(2)', 'e', 'title', 'string')}") + self.body(d) + self.tag("endfilter"), lambda: self.tag(f"with {self.fresh()} = {self.any(1)}") + self.body(d) + self.tag("endwith"), lambda: "{#" + self.pick("", "-") + " note\n " + self.pick("", "-") + "#}",
            lambda: self.tag("raw") + "{{ x }}\n {% y %}" + self.tag("endraw"), lambda: self.namespace(), lambda: self.call(d), lambda: self.tag("generation") + self.body(d) + self.tag("endgeneration"),
        )()

    def condition(self, d: Number) -> Text:
        out = self.tag(f"if {self.bool(2)}") + self.body(d)
        if self.maybe(0.3):
            out += self.tag(f"elif {self.bool(1)}") + self.body(d)
        if self.maybe(0.5):
            out += self.tag("else") + self.body(d)
        return out + self.tag("endif")

    def loop(self, d: Number) -> Text:
        kind = self.pick("one", "one", "one", "pair", "rec")
        self.loops += 1
        target, source = self.pick("x", "y", "i", "m"), self.list(2)
        if kind == "pair":
            target, source = "k, v", f"{self.dict(1)}.items()"
        out = f"for {target} in {source}"
        if kind == "one" and self.maybe(0.3):
            out += f" if {self.bool(1)}" + (f" and {target}" if self.maybe(0.5) else "")
        if kind == "rec":
            out = f"for {target} in {source} recursive"
        text = self.tag(out) + (f"{{{{ {target.split(',')[0]} }}}}" if self.maybe(0.7) else "") + self.body(d)
        if kind == "rec" and self.maybe(0.7):
            text += f"{{% if loop.depth < 3 %}}{{{{ loop({self.list(0)}) }}}}{{% endif %}}"
        if self.maybe(0.3):
            text += self.tag(f"if {self.bool(1)}") + self.tag(self.pick("break", "continue")) + self.tag("endif") + self.data()
        if self.maybe(0.3):
            text += self.tag("else") + self.body(d)
        self.loops -= 1
        return text + self.tag("endfor")

    def assign(self) -> Text:
        if self.namespaces and self.maybe(0.4):
            return self.tag(f"set {self.pick(*self.namespaces)}.v = {self.any(2)}")
        if self.maybe(0.15):
            return self.tag(f"set x, y = {self.any(1)}, {self.any(1)}")
        name = self.fresh()
        return self.tag(f"set {name} = {self.pick(self.any(2), f'{name} ~ {self.str(1)}', self.any(3))}")

    def namespace(self) -> Text:
        name = self.pick("ns", "ns2")
        if name not in self.namespaces:
            self.namespaces.append(name)
        return self.tag(f"set {name} = namespace(v={self.any(1)})")

    def macro(self, d: Number) -> Text:
        name = self.pick("m1", "m2")
        text = self.tag(f"macro {name}({self.pick('a', 'a=1', 'a, b=2', 'a=x, b=none', '')})") + f"{{{{ {self.pick('a', 'b', 'varargs', 'kwargs', 'n', 'x')} }}}}" + self.body(d)
        if self.maybe(0.4):
            text += "{{ caller() if caller else 'nocall' }}" if self.maybe(0.5) else f"{{% if caller is defined and caller %}}{{{{ caller({self.int(0)}) }}}}{{% endif %}}"
        if name not in self.macros:
            self.macros.append(name)
        return text + self.tag("endmacro")

    def call(self, d: Number) -> Text:
        if not self.macros:
            return self.printing(1)
        return self.tag(f"call{self.pick('', '(c)', '(c=1)')} {self.pick(*self.macros)}({self.pick('', '1', 'x')})") + self.body(d) + self.tag("endcall")


def template(seed: Number) -> Text:
    fuzz = Fuzz(random.Random(seed))
    return "".join(fuzz.statement(3) for _ in range(fuzz.rng.randint(2, 6)))
