"""The official clients of OpenAI and Anthropic against a server."""
import json

import anthropic
import openai
import pydantic

from ingot_tools.clients.server import Server, check

WEATHER = {
    "name": "weather",
    "description": "Weather of a city.",
    "parameters": {
        "type": "object",
        "properties": {
            "city": {"type": "string", "enum": ["Oslo", "Rome"]},
            "days": {"type": "integer", "minimum": 1, "maximum": 9},
            "exact": {"type": "boolean"},
        },
        "required": ["city", "days", "exact"],
    },
}
NO_THINKING = {"chat_template_kwargs": {"enable_thinking": False}}


class Person(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")
    kind: str = pydantic.Field(max_length=8)
    age: int
    is_tall: bool


def clients(server: Server, key: str = "none") -> tuple[openai.OpenAI, anthropic.Anthropic]:
    return (
        openai.OpenAI(base_url=server.url + "/v1", api_key=key, max_retries=0, timeout=120),
        anthropic.Anthropic(base_url=server.url, api_key=key, max_retries=0, timeout=120),
    )


def text_of(response) -> str:
    return "".join(block.text for block in response.content if block.type == "text")


def blocks(message) -> list[dict]:
    """Content, without what the client adds to a stream's."""
    return [{name: value for name, value in block.model_dump().items() if name in ("type", "text", "thinking", "signature", "name", "input")} for block in message.content]


def read(usage) -> int:
    """Tokens of the prompt, those among them that had been computed before."""
    return usage.input_tokens + (usage.cache_read_input_tokens or 0)


def openai_chat(server: Server) -> str:
    client, _ = clients(server)
    model = client.models.list().data[0].id
    check(client.models.retrieve(model).id == model, "the model by its name")
    ask = {"model": model, "messages": [{"role": "user", "content": "What is an ingot?"}], "temperature": 0, "max_tokens": 24}
    whole = client.chat.completions.create(**ask)
    message = whole.choices[0].message
    check(whole.usage.completion_tokens <= 24 and whole.usage.total_tokens > whole.usage.prompt_tokens, f"usage: {whole.usage}")
    check(whole.choices[0].finish_reason in ("stop", "length"), whole.choices[0].finish_reason)
    content, reasoning, usage = "", "", None
    for chunk in client.chat.completions.create(**ask, stream=True, stream_options={"include_usage": True}):
        usage = chunk.usage or usage
        for choice in chunk.choices:
            content += choice.delta.content or ""
            reasoning += (choice.delta.model_extra or {}).get("reasoning_content") or ""
    check(content == message.content, f"stream {content!r}, whole {message.content!r}")
    check(reasoning == ((message.model_extra or {}).get("reasoning_content") or ""), "reasoning of stream and whole")
    check((usage.prompt_tokens, usage.completion_tokens) == (whole.usage.prompt_tokens, whole.usage.completion_tokens), f"usage of the stream: {usage}")  # type: ignore[union-attr]
    seeded = [client.chat.completions.create(**{**ask, "temperature": 1}, seed=seed).choices[0].message for seed in (3, 3)]
    check(seeded[0] == seeded[1], "a seed gives the same answer")
    likely = client.chat.completions.create(**ask, logprobs=True, top_logprobs=3).choices[0].logprobs.content
    check(all(len(token.top_logprobs) == 3 and token.logprob == token.top_logprobs[0].logprob for token in likely), "greedy tokens are the likeliest")
    said = content or reasoning
    if len(said) > 12:
        stop = said[6:9]
        cut = client.chat.completions.create(**ask, stop=stop).choices[0]
        check(cut.finish_reason == "stop" and stop not in (cut.message.content or ""), "a stop ends the answer")
    text = client.completions.create(model=model, prompt="An ingot is", max_tokens=8, temperature=0, logprobs=1)
    check(text.choices[0].text != "" and len(text.choices[0].logprobs.tokens) == text.usage.completion_tokens, f"completions: {text}")
    return f"{len(said)} characters"


def openai_tools(server: Server) -> str:
    client, _ = clients(server)
    ask = {
        "model": "any",
        "messages": [{"role": "user", "content": "Weather in Oslo for three days?"}],
        "tools": [{"type": "function", "function": WEATHER}],
        "temperature": 0,
        "max_tokens": 200,
        "extra_body": NO_THINKING,
    }
    calls = []
    for choice in ("required", {"type": "function", "function": {"name": "weather"}}):
        answer = client.chat.completions.create(**ask, tool_choice=choice).choices[0]
        check(answer.finish_reason == "tool_calls", f"{choice}: {answer}")
        calls.append(answer.message.tool_calls[0])
        arguments = json.loads(calls[-1].function.arguments)
        check(calls[-1].function.name == "weather" and arguments["city"] in ("Oslo", "Rome") and 1 <= arguments["days"] <= 9, f"{calls[-1]}")
        check(isinstance(arguments["exact"], bool) and calls[-1].id, f"{calls[-1]}")
    streamed = {"name": "", "arguments": ""}
    for chunk in client.chat.completions.create(**ask, tool_choice="required", stream=True):
        for call in chunk.choices[0].delta.tool_calls or []:
            streamed["name"] += call.function.name or ""
            streamed["arguments"] += call.function.arguments or ""
    check(streamed == {"name": "weather", "arguments": calls[0].function.arguments}, f"streamed: {streamed}")
    history = [*ask["messages"], {"role": "assistant", "tool_calls": [calls[0].model_dump()]}, {"role": "tool", "tool_call_id": calls[0].id, "content": "Rain."}]  # type: ignore[misc]
    check(client.chat.completions.create(**{**ask, "messages": history, "max_tokens": 8}).choices[0].message is not None, "the result goes back")
    check(client.chat.completions.create(**{**ask, "max_tokens": 8}).choices, "the model may choose not to call")
    return calls[0].function.arguments


def openai_schema(server: Server) -> str:
    client, _ = clients(server)
    ask = {"model": "any", "messages": [{"role": "user", "content": "Who is there? Answer in JSON."}], "temperature": 0, "max_tokens": 200}
    ask["extra_body"] = NO_THINKING
    person = client.chat.completions.parse(**ask, response_format=Person).choices[0].message.parsed
    check(isinstance(person, Person), f"{person}")
    free = client.chat.completions.create(**{**ask, "max_tokens": 300}, response_format={"type": "json_object"}).choices[0]
    if free.finish_reason == "stop":
        check(isinstance(json.loads(free.message.content), dict), free.message.content)
    try:
        schema = {"type": "string", "pattern": "^a+$"}
        client.chat.completions.create(**ask, response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}})
        check(False, "a schema that cannot be enforced was taken")
    except openai.BadRequestError as error:
        check("pattern" in str(error), str(error))
    return person.model_dump_json()


def openai_errors(server: Server) -> None:
    client, _ = clients(server)
    for messages, word in (([{"role": "wizard", "content": "Hi"}], "wizard"), ([{"role": "user", "content": "many words " * 20_000}], "context")):
        try:
            client.chat.completions.create(model="any", messages=messages)
            check(False, f"{word}: was answered")
        except openai.BadRequestError as error:
            check(word in str(error), str(error))
    try:
        client.embeddings.create(model="any", input="x")
        check(False, "embeddings were answered")
    except openai.NotFoundError:
        pass


def anthropic_messages(server: Server) -> str:
    _, client = clients(server)
    ask = {"model": "any", "max_tokens": 24, "messages": [{"role": "user", "content": "What is an ingot?"}], "extra_body": {"temperature": 0}}
    whole = client.messages.create(**ask)
    check(whole.stop_reason in ("end_turn", "max_tokens") and whole.usage.output_tokens <= 24, f"{whole}")
    with client.messages.stream(**ask) as stream:
        texts = "".join(stream.text_stream)
        final = stream.get_final_message()
    check(texts == text_of(whole) and blocks(final) == blocks(whole), f"stream {final}, whole {whole}")
    check(read(final.usage) == read(whole.usage) and final.usage.output_tokens == whole.usage.output_tokens, f"{final.usage}, {whole.usage}")
    count = client.messages.count_tokens(model="any", messages=ask["messages"])
    check(count.input_tokens == read(whole.usage), f"{count}, {whole.usage}")
    said = [{"role": "assistant", "content": [block.model_dump() for block in whole.content]}, {"role": "user", "content": "And a brick?"}]
    check(client.messages.create(**{**ask, "messages": ask["messages"] + said}).content, "thinking goes back with its signature")  # type: ignore[operator]
    cut = client.messages.create(**ask, stop_sequences=["e"])
    check(cut.stop_reason != "stop_sequence" or cut.stop_sequence == "e", f"{cut}")
    return ", ".join(block.type for block in whole.content)


def anthropic_tools(server: Server) -> str:
    _, client = clients(server)
    ask = {
        "model": "any",
        "max_tokens": 200,
        "extra_body": {"temperature": 0},
        "messages": [{"role": "user", "content": "Weather in Oslo?"}],
        "tools": [{"name": "weather", "description": "Weather.", "input_schema": WEATHER["parameters"]}],
        "thinking": {"type": "disabled"},
    }
    whole = client.messages.create(**ask, tool_choice={"type": "any"})
    check(whole.stop_reason == "tool_use" and whole.content[-1].type == "tool_use", f"{whole}")
    call = whole.content[-1]
    check(call.name == "weather" and call.input["city"] in ("Oslo", "Rome"), f"{call}")
    with client.messages.stream(**ask, tool_choice={"type": "tool", "name": "weather"}) as stream:
        final = stream.get_final_message()
    check(final.content[-1].input == call.input, f"streamed {final}")
    history = [{"role": "assistant", "content": [call.model_dump()]}, {"role": "user", "content": [{"type": "tool_result", "tool_use_id": call.id, "content": "Rain."}]}]
    check(client.messages.create(**{**ask, "messages": ask["messages"] + history, "max_tokens": 8}).id.startswith("msg_"), "the result goes back")  # type: ignore[operator]
    return json.dumps(call.input)


def anthropic_errors(server: Server) -> None:
    _, client = clients(server)
    for messages, word in (([{"role": "wizard", "content": "Hi"}], "wizard"), ([{"role": "user", "content": "many words " * 20_000}], "context")):
        try:
            client.messages.create(model="any", max_tokens=5, messages=messages)
            check(False, f"{word}: was answered")
        except anthropic.BadRequestError as error:
            check(word in str(error) and error.body["type"] == "error", str(error))


def keys(server: Server) -> None:
    for given, isRight in (("right", True), ("wrong", False)):
        first, second = clients(server, given)
        for ask, refused in (
            (lambda: first.models.list(), openai.AuthenticationError),
            (lambda: second.messages.count_tokens(model="any", messages=[{"role": "user", "content": "Hi"}]), anthropic.AuthenticationError),
        ):
            try:
                ask()
                check(isRight, f"the key {given} was taken")
            except refused:
                check(not isRight, f"the key {given} was refused")
