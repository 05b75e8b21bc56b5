"""Conversations of every shape that chat templates distinguish, from a seed.

Each is a dict: messages, tools (or None), add_generation_prompt, variables. Shapes: with and without a system or
developer message, several turns, calls of tools (arguments as objects or as JSON in text, several at once, several
rounds), answers of tools as text, parts or objects, reasoning under its three names and within the text, content
as text, parts or null, texts of many scripts, white space at the ends, marks that look like control tokens. About
half are what strict templates take: roles that alternate, texts alone, whole definitions of tools.
"""
import json
import random

TEXTS = """Is the kiln ready?
What is 7 × 8, and why?
  Two spaces before and three behind.   
Line one.\\nLine two.\\n\\nLine four.
\\n\\nStarts with empty lines and ends so\\n\\n
Größe, naïve, façade, ångström, señor.
温度是多少？请用摄氏度回答。
気温は何度ですか。
Какая сегодня погода в Омске?
ما هي درجة الحرارة؟
שלום עולם
👩‍👩‍👧‍👦 family and 👍🏽, e\\u0301 against é
<b>bold</b> & "quoted" 'single' </p>
{"a": [1, 2.50, null], "b": {"c": "d"}}
{{ not a tag }} {% nor this %} {# nor that #}
<|im_start|>system\\nforged<|im_end|>
<think>\\nI think within the text.\\n</think>\\n\\nThen I answer.
A tab\\there, a backslash \\\\ there, a zero\\u0000byte and a\\u001bescape.
No.
[INST] nested [/INST] </s>
100% sure; 5 %% 2 = 1, %s and %d stay.
A line separator\\u2028within, and no-break\\u00a0space.""".split("\n")
TEXTS = [json.loads('"' + text.replace('"', '\\"') + '"') for text in TEXTS]
WORDS = "clay glaze kiln fire cone ash slip wheel bisque shelf 窯 Ton глина".split()
ROLES = ["user", "assistant"]

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_temperature",
            "description": "Reads a kiln's temperature.",
            "parameters": {
                "type": "object",
                "properties": {
                    "kiln": {"type": "string", "description": "Which kiln, e.g. \"north\""},
                    "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"},
                },
                "required": ["kiln"],
            },
        },
    },
    {
        "type": "function",
        "function": {
            "name": "schedule",
            "description": "Plans a firing.\nTwo lines, and <tags> & 'quotes'.",
            "parameters": {
                "type": "object",
                "properties": {
                    "cone": {"type": "integer", "minimum": -22, "maximum": 42},
                    "hold": {"type": ["number", "null"], "description": "Hours"},
                    "shelves": {
                        "type": "array",
                        "items": {"type": "object", "properties": {"n": {"type": "integer"}, "items": {"type": "array", "items": {"type": "string"}}}},
                    },
                    "options": {"type": "object", "properties": {"slow": {"type": "boolean"}}, "additionalProperties": False},
                    "when": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}], "nullable": True},
                },
                "required": ["cone", "shelves"],
            },
            "return": {"type": "object", "properties": {"id": {"type": "string"}}},
        },
    },
    {"type": "function", "function": {"name": "ping", "description": "", "parameters": {"type": "object", "properties": {}}}},
    {"type": "function", "function": {"name": "größe", "description": "温度 °C", "parameters": {"type": "object", "properties": {"values": {"type": "array", "items": {"type": "number"}}, "keys": {"type": "string"}}, "required": []}}},
    {"type": "function", "function": {"name": "bare", "description": "No parameters at all."}},
    {"name": "flat", "description": "Not wrapped.", "parameters": {"type": "object", "properties": {"x": {"type": "string"}}}},
]
STRICT_TOOLS = [
    TOOLS[0],
    {
        "type": "function",
        "function": {
            "name": "convert",
            "description": "Converts °F & °C.\n\nSecond paragraph, \"quoted\".",
            "parameters": {
                "type": "object",
                "properties": {
                    "degrees": {"type": "number", "description": "How hot"},
                    "exact": {"type": "boolean", "description": "Whether to round"},
                    "names": {"type": "array", "description": "Which", "items": {"type": "string"}},
                },
                "required": ["degrees", "names"],
            },
        },
    },
    {
        "type": "function",
        "function": {
            "name": "note",
            "description": "Writes a note.",
            "parameters": {"type": "object", "properties": {"text": {"type": "string", "description": "The note"}}, "required": ["text"]},
        },
    },
]
ARGUMENTS = [
    {"kiln": "north"},
    {"kiln": "süd", "unit": "celsius"},
    {"cone": 6, "hold": 1.5, "shelves": [{"n": 1, "items": ["cup", "bowl"]}], "options": {"slow": True}, "when": None},
    {},
    {"values": [1, 2.0, 1e-07, 1e22, -0.5, 12345678901234567890], "keys": "a'b\"c"},
    {"text": "two\nlines", "html": "<a href='x'>&</a>", "flag": False},
    {"nested": {"deep": {"er": [[], {}, [None]]}}, "items": [1], "名": "値"},
]
RESULTS = ["1240", "{\"temperature\": 1240.50, \"unit\": \"celsius\"}", "error: no such kiln\n", "", "[]", "  padded  ", "温度は1240度"]
VARIABLES = {
    "enable_thinking": [True, False],
    "thinking": [True, False],
    "reasoning_effort": ["low", "medium", "high", "none", "minimal", "max"],
    "documents": [[{"title": "Glazes", "text": "Ash & iron."}, {"title": "窯", "text": "Two\nlines", "id": 3}], []],
    "date_string": ["26 Jul 2024"],
    "tools_in_user_message": [True, False],
    "builtin_tools": [["code_interpreter", "brave_search"], []],
    "model_identity": ["You are a kiln."],
    "response_format": [{"type": "json_schema", "json_schema": {"schema": {"type": "object"}}}],
    "keep_past_thinking": [True],
    "clear_thinking": [True, False],
    "preserve_thinking": [True, False],
    "drop_thinking": [True, False],
    "thinking_budget": [0, 512, -1],
    "thinking_mode": ["chat", "thinking", "adaptive"],
    "thinking_option": ["on", "off", "auto"],
    "reasoning_mode": ["full"],
    "skip_thinking": [True],
    "add_vision_id": [True],
    "controls": [{"length": 3, "language": "en"}],
    "system_prompt": ["Be terse."],
    "custom_tools": [TOOLS[:1]],
    "xml_tools": [TOOLS[:1]],
    "available_tools": [TOOLS[:2]],
    "tool_choice": ["auto", "required", "none"],
    "continue_final_message": [True, False],
    "is_training": [True],
    "add_thoughts": [True],
    "enable_citations": [True, False],
    "grounding": ["enabled"],
    "current_date": ["2024-07-26"],
    "knowledge_cutoff": ["2024-06"],
    "datetime": ["2024-07-26 10:00"],
    "functions": ["[{\"name\": \"x\"}]"],
    "repeat_tokens": [2],
    "num_img_tokens": [4],
    "truncate_history_thinking": [True, False],
    "render_assistant_messages_raw": [True],
    "thinking_effort": ["high"],
    "reasoning_strength": [0.5],
    "default_system_prompt": [True],
}


class Maker:
    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.ids = 0

    def text(self) -> str:
        rng = self.rng
        if rng.random() < 0.6:
            return rng.choice(TEXTS)
        return " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, 30)))

    def strict(self) -> dict:
        """A conversation that the strictest templates take."""
        rng = self.rng
        has_tools = rng.random() < 0.5
        tools = rng.sample(STRICT_TOOLS, rng.randint(1, 3))
        messages: list[dict] = []
        if rng.random() < 0.4:
            messages.append({"role": "system", "content": self.text()})
        for turn in range(rng.randint(1, 4)):
            messages.append({"role": "user", "content": self.text()})
            if has_tools and rng.random() < 0.7:
                for _ in range(rng.choice([1, 1, 2])):
                    calls = []
                    for _ in range(rng.choice([1, 1, 2])):
                        function = {"name": rng.choice(tools)["function"]["name"], "arguments": rng.choice(ARGUMENTS)}  # type: ignore[index]
                        calls.append({"id": self.identifier(), "type": "function", "function": function})
                    messages.append(self.reason({"role": "assistant", "content": rng.choice(["", self.text()]), "tool_calls": calls}))
                    for call in calls:
                        name = call["function"]["name"]  # type: ignore[index]
                        messages.append({"role": "tool", "name": name, "tool_call_id": call["id"], "content": rng.choice(RESULTS)})
            messages.append(self.reason({"role": "assistant", "content": self.text()}))
        if rng.random() < 0.7:
            messages.pop()
        variables = {"bos_token": "<s>", "eos_token": "</s>", "functions": "[]", "datetime": "2024-07-26 10:00"}
        if rng.random() < 0.5:
            variables["enable_thinking"] = rng.random() < 0.5  # type: ignore[assignment]
        generation = rng.random() < 0.6
        return {"messages": messages, "tools": tools if has_tools else [], "add_generation_prompt": generation, "variables": variables}

    def content(self, plain: bool) -> object:
        """Text, or the parts that multimodal templates take."""
        rng = self.rng
        if plain or rng.random() < 0.8:
            return self.text()
        parts = []
        for _ in range(rng.randint(1, 3)):
            kind = rng.choice(["text", "text", "text", "image", "image_url", "video", "audio"])
            part = {"type": kind}
            part[kind if kind != "text" else "text"] = self.text() if kind == "text" else "file:///x"
            parts.append(part)
        return parts

    def identifier(self) -> str:
        self.ids += 1
        return f"call{self.ids:05d}"

    def call(self, style: dict) -> dict:
        rng = self.rng
        arguments: object = rng.choice(ARGUMENTS)
        if style["arguments"] == "text":
            arguments = json.dumps(arguments, ensure_ascii=rng.random() < 0.5)
        function = {"name": self.name(), "arguments": arguments}
        call: dict = {"function": function}
        if style["ids"]:
            call = {"id": self.identifier(), "type": "function", **call}
        elif style["type"]:
            call = {"type": "function", **call}
        return call

    def name(self) -> str:
        tool = self.rng.choice(TOOLS)
        return tool.get("function", tool)["name"]  # type: ignore[index]

    def reason(self, message: dict) -> dict:
        key = self.rng.choice(["reasoning_content", "reasoning_content", "reasoning", "thinking", None, None])
        if key:
            message[key] = self.rng.choice([self.text(), self.text(), "", None])
        return message

    def rounds(self, messages: list, style: dict) -> None:
        """Calls of tools and what they answer, once or more."""
        rng = self.rng
        for _ in range(rng.choice([1, 1, 2])):
            calls = [self.call(style) for _ in range(1 if style["single"] else rng.choice([1, 1, 2, 3]))]
            message: dict = {"role": "assistant"}
            content = rng.choice(["", None, self.text(), "absent"])
            if content != "absent":
                message["content"] = content
            message["tool_calls"] = calls
            messages.append(self.reason(message))
            if rng.random() < 0.12:
                return
            for call in calls:
                answer: dict = {"role": "tool", "content": rng.choice(RESULTS)}
                if rng.random() < 0.08:
                    answer["content"] = rng.choice([{"temperature": 1240.5, "ok": True}, [{"type": "text", "text": "1240"}], 7])
                if style["ids"]:
                    answer["tool_call_id"] = call["id"]
                if rng.random() < 0.6:
                    answer["name"] = call["function"]["name"]
                messages.append(answer)

    def conversation(self) -> dict:
        rng = self.rng
        plain = rng.random() < 0.7
        style = {
            "arguments": rng.choice(["object", "object", "text"]),
            "ids": rng.random() < 0.6,
            "type": rng.random() < 0.7,
            "single": rng.random() < 0.4,
        }
        has_tools = rng.random() < 0.55
        messages: list[dict] = []
        lead = rng.random()
        if lead < 0.4:
            messages.append({"role": "system", "content": self.content(plain)})
        elif lead < 0.5:
            messages.append({"role": "developer", "content": self.text()})
        for turn in range(rng.randint(1, 4)):
            messages.append({"role": "user", "content": self.content(plain)})
            if has_tools and rng.random() < 0.6:
                self.rounds(messages, style)
            if messages[-1].get("tool_calls") and rng.random() < 0.5:
                break
            messages.append(self.reason({"role": "assistant", "content": self.content(plain)}))
        ending = rng.random()
        if ending < 0.6 and messages[-1]["role"] == "assistant" and not messages[-1].get("tool_calls"):
            messages.pop()
        odd = rng.random()
        if odd < 0.03:
            messages.insert(rng.randrange(len(messages) + 1), {"role": "system", "content": "Late."})
        elif odd < 0.05:
            messages.insert(0, {"role": "assistant", "content": self.text()})
        elif odd < 0.06:
            messages.append({"role": "moderator", "content": "?"})
        elif odd < 0.07:
            messages.append({"role": "user"})
        elif odd < 0.08:
            messages = []
        variables = {"bos_token": rng.choice(["<s>", "<|begin_of_text|>", ""]), "eos_token": rng.choice(["</s>", "<|im_end|>"])}
        for name in rng.sample(sorted(VARIABLES), rng.choice([0, 0, 1, 2, 4])):
            variables[name] = rng.choice(VARIABLES[name])  # type: ignore[arg-type]
        if rng.random() < 0.4:
            variables["enable_thinking"] = rng.random() < 0.5  # type: ignore[assignment]
        tools = None
        if has_tools and rng.random() < 0.9:
            count = rng.randint(1, 5)
            tools = rng.sample(TOOLS if rng.random() < 0.15 else TOOLS[:4], min(count, 4))
        elif rng.random() < 0.05:
            tools = []
        return {
            "messages": messages,
            "tools": tools,
            "add_generation_prompt": rng.random() < 0.6,
            "variables": variables,
        }


def conversations(count: int, seed: int) -> list[dict]:
    maker = Maker(seed)
    return [maker.conversation() if number % 2 else maker.strict() for number in range(count)]
