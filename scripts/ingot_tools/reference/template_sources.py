"""Chat templates of our own, in the manner of those that checkpoints bring: between them they use every construct."""

SOURCES: dict[str, str] = {}

SOURCES["plain"] = """\
{%- if messages and messages[0].role == 'system' %}
    {%- set system = messages[0].content %}
    {%- set rest = messages[1:] %}
{%- else %}
    {%- set system = 'You mind the kilns.' %}
    {%- set rest = messages %}
{%- endif %}
{{- '<|turn|>system\\n' + system + '<|end|>\\n' }}
{%- for message in rest %}
    {%- if message.content is string %}
        {{- '<|turn|>' + message.role + '\\n' + message.content | trim + '<|end|>\\n' }}
    {%- elif message.content is iterable and message.content is not none %}
        {{- '<|turn|>' ~ message.role ~ '\\n' }}
        {%- for part in message.content %}
            {%- if part.type == 'text' %}{{ part.text }}{% elif part.type is defined %}<|{{ part.type }}|>{% endif %}
        {%- endfor %}
        {{- '<|end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|turn|>assistant\\n' }}
{%- endif %}
"""

SOURCES["headers"] = """\
{{- bos_token }}
{%- if custom_tools is defined %}
    {%- set tools = custom_tools %}
{%- endif %}
{%- if not tools_in_user_message is defined %}
    {%- set tools_in_user_message = true %}
{%- endif %}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}{% set date_string = strftime_now("%d %b %Y") %}{% else %}{% set date_string = "26 Jul 2024" %}{% endif %}
{%- endif %}
{%- if not tools is defined %}{%- set tools = none %}{%- endif %}
{#- The first system message is taken apart from the others. #}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<head>system</head>\\n\\nToday: " + date_string + "\\n\\n" }}
{%- if tools is not none and not tools_in_user_message %}
    {{- "Call functions as JSON.\\n\\n" }}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
{%- endif %}
{{- system_message + "<eot>" }}
{%- if tools_in_user_message and not tools is none %}
    {%- if messages | length != 0 %}
        {%- set first_user_message = messages[0]['content']|trim %}
        {%- set messages = messages[1:] %}
    {%- else %}
        {{- raise_exception("There is no first user message to put the tools in.") }}
    {%- endif %}
    {{- '<head>user</head>\\n\\n' -}}
    {%- for t in tools %}
        {{- t | tojson(indent=2, separators=(', ', ' : '), sort_keys=true) }}
        {{- "\\n" }}
    {%- endfor %}
    {{- first_user_message + "<eot>"}}
{%- endif %}
{%- for message in messages %}
    {%- if not (message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<head>' + message['role'] + '</head>\\n\\n'+ message['content'] | trim + '<eot>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}
            {{- raise_exception("One call at a time, not " ~ message.tool_calls|length) }}
        {%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {{- '<head>assistant</head>\\n\\n' -}}
        {{- '{"name": "' + tool_call.name + '", ' }}
        {{- '"parameters": ' }}
        {{- tool_call.arguments | tojson }}
        {{- "}" }}
        {{- "<eot>" }}
    {%- elif message.role == "tool" %}
        {{- "<head>result</head>\\n\\n" }}
        {%- if message.content is mapping or message.content is iterable %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<eot>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<head>assistant</head>\\n\\n' }}{%- endif %}
"""

SOURCES["strict"] = """\
{%- if messages and messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}
{%- set ns = namespace() %}
{%- set ns.index = 0 %}
{%- for message in loop_messages %}
    {%- if not (message.role == "tool" or message.role == "tool_results" or (message.tool_calls is defined and message.tool_calls is not none)) %}
        {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
            {{- raise_exception("Roles must alternate user/assistant/user/assistant/...") }}
        {%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if tools is not none and (message == user_messages[-1]) %}
            {{- "[TOOLS] [" }}
            {%- for tool in tools %}
                {%- set tool = tool.function %}
                {{- '{"type": "function", "function": {' }}
                {%- for key, val in tool.items() if key != "return" %}
                    {%- if val is string %}
                        {{- '"' + key + '": "' + val + '"' }}
                    {%- else %}
                        {{- '"' + key + '": ' + val|tojson }}
                    {%- endif %}
                    {%- if not loop.last %}{{- ", " }}{%- endif %}
                {%- endfor %}
                {{- "}}" }}
                {%- if not loop.last %}{{- ", " }}{%- else %}{{- "]" }}{%- endif %}
            {%- endfor %}
            {{- "[/TOOLS]" }}
        {%- endif %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message.tool_calls is defined and message.tool_calls is not none %}
        {{- "[CALLS] [" }}
        {%- for tool_call in message.tool_calls %}
            {%- set out = tool_call.function|tojson %}
            {{- out[:-1] }}
            {%- if not tool_call.id is defined or tool_call.id|length != 9 %}
                {{- raise_exception("Ids have 9 characters!") }}
            {%- endif %}
            {{- ', "id": "' + tool_call.id + '"}' }}
            {%- if not loop.last %}{{- ", " }}{%- else %}{{- "]" + eos_token }}{%- endif %}
        {%- endfor %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token}}
    {%- elif message["role"] == "tool_results" or message["role"] == "tool" %}
        {%- if message.content is defined and message.content.content is defined %}
            {%- set content = message.content.content %}
        {%- else %}
            {%- set content = message.content %}
        {%- endif %}
        {{- '[RESULTS] {"content": ' + content|string + ", " }}
        {{- '"id": "' + message.tool_call_id + '"}[/RESULTS]' }}
    {%- else %}
        {{- raise_exception("Only user and assistant roles are supported, not " ~ message.role ~ ".") }}
    {%- endif %}
{%- endfor %}
"""

SOURCES["types"] = """\
{%- macro python_type(spec) %}
{%- set basic = {"string": "str", "number": "float", "integer": "int", "boolean": "bool", "null": "None"} %}
{%- if spec.type is defined and spec.type is string and basic[spec.type] is defined %}
    {{- basic[spec.type] }}
{%- elif spec.type == "array" %}
    {{- "list[" + python_type(spec["items"]) + "]" }}
{%- elif spec.type == "object" %}
    {%- if spec.properties is defined %}
        {{- "{" }}
        {%- for name, inner in spec.properties.items() -%}
            {{ name ~ ": " ~ python_type(inner) }}{{ ", " if not loop.last }}
        {%- endfor %}
        {{- "}" }}
    {%- else %}
        {{- "dict" }}
    {%- endif %}
{%- elif spec.type is iterable and spec.type is not string and spec.type %}
    {{- "Union[" }}
    {%- for t in spec.type %}
      {{- python_type({"type": t}) }}
      {%- if not loop.last %}{{- "," }} {%- endif %}
    {%- endfor %}
    {{- "]" }}
{%- elif spec.anyOf is defined %}
    {%- for option in spec.anyOf %}{{ python_type(option) }}{% if not loop.last %} | {% endif %}{% endfor %}
{%- else %}
    {{- "Any" }}
{%- endif %}
{%- endmacro %}
{%- for tool in tools or [] %}
    {%- if tool.function is defined %}{%- set tool = tool.function %}{%- endif %}
    {{- 'def ' + tool.name + '(' }}
    {%- set parameters = (tool.parameters or {}).properties or {} %}
    {%- for name, field in parameters|items %}
        {{- name + ": " + python_type(field) }}
        {%- if field.default is defined %} = {{ field.default|tojson }}{% endif %}
        {%- if not loop.last %}{{- ", " }}{%- endif %}
    {%- endfor %}
    {{- ")" }}
    {%- if tool.return is defined %}
        {{- " -> " + python_type(tool.return) }}
    {%- endif %}
    {{- ": " + tool.description + "\\n" }}
    {%- for name, field in parameters.items() if field.description is defined %}
    {{ loop.index }}. {{ name }}: {{ field.description }}{% if name in tool.parameters.required|default([]) %} (required){% endif %}

    {%- else %}
        {{- "    nothing to say\\n" }}
    {%- endfor %}
{%- endfor %}
{%- for message in messages if message.role != 'tool' %}
[{{ loop.index }}/{{ loop.length }}] {{ message.role }}{% if not loop.first and loop.previtem.role == message.role %} again{% endif %}
{% endfor %}
"""

SOURCES["thinking"] = """\
{%- if tools %}
    {{- '<|im|>system\\n' }}
    {%- if messages and messages[0].role == 'system' %}{{- messages[0].content + '\\n\\n' }}{%- endif %}
    {{- "# Tools\\n\\n<tools>" }}
    {%- for tool in tools %}{{- "\\n" }}{{- tool | tojson }}{%- endfor %}
    {{- "\\n</tools><|/im|>\\n" }}
{%- elif messages and messages[0].role == 'system' %}
    {{- '<|im|>system\\n' + messages[0].content + '<|/im|>\\n' }}
{%- endif %}
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string and not(message.content.startswith('<answer>') and message.content.endswith('</answer>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}{%- set content = message.content %}{%- else %}{%- set content = '' %}{%- endif %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im|>' + message.role + '\\n' + content + '<|/im|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning_content = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning_content = message.reasoning_content %}
        {%- else %}
            {%- if '</think>' in content %}
                {%- set reasoning_content = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
                {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
            {%- endif %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index and (loop.last or (not loop.last and reasoning_content)) %}
            {{- '<|im|>' + message.role + '\\n<think>\\n' + reasoning_content.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
        {%- else %}
            {{- '<|im|>' + message.role + '\\n' + content }}
        {%- endif %}
        {%- if message.tool_calls %}
            {%- for tool_call in message.tool_calls %}
                {%- if (loop.first and content) or (not loop.first) %}{{- '\\n' }}{%- endif %}
                {%- if tool_call.function %}{%- set tool_call = tool_call.function %}{%- endif %}
                {{- '<call>\\n{"name": "' }}
                {{- tool_call.name }}
                {{- '", "arguments": ' }}
                {%- if tool_call.arguments is string %}{{- tool_call.arguments }}{%- else %}{{- tool_call.arguments | tojson }}{%- endif %}
                {{- '}\\n</call>' }}
            {%- endfor %}
        {%- endif %}
        {{- '<|/im|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if loop.first or (messages[loop.index0 - 1].role != "tool") %}{{- '<|im|>user' }}{%- endif %}
        {{- '\\n<answer>\\n' }}
        {{- content }}
        {{- '\\n</answer>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}{{- '<|/im|>\\n' }}{%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}
{%- endif %}
"""

SOURCES["flags"] = """\
{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}{% if not thinking is defined %}{% set thinking = false %}{% endif %}{% set ns = namespace(is_first=false, is_tool=false, is_output_first=true, system='', is_first_sp=true, is_last_user=false) %}{%- for message in messages %}{%- if message['role'] == 'system' %}{%- if ns.is_first_sp %}{% set ns.system = ns.system + message['content'] %}{% set ns.is_first_sp = false %}{%- else %}{% set ns.system = ns.system + '\\n\\n' + message['content'] %}{%- endif %}{%- endif %}{%- endfor %}{{ bos_token }}{{ ns.system }}{%- for message in messages %}{%- if message['role'] == 'user' %}{%- set ns.is_tool = false -%}{%- set ns.is_first = false -%}{%- set ns.is_last_user = true -%}{{'<User>' + message['content']}}{%- endif %}{%- if message['role'] == 'assistant' and message['tool_calls'] is defined and message['tool_calls'] is not none %}{%- if ns.is_last_user %}{{'<Assistant></think>'}}{%- endif %}{%- set ns.is_last_user = false -%}{%- set ns.is_first = false %}{%- set ns.is_tool = false -%}{%- for tool in message['tool_calls'] %}{%- if not ns.is_first %}{%- if message['content'] is none %}{{'<calls><call>' + tool['function']['name'] + '<sep>' + tool['function']['arguments']|string + '</call>'}}{%- else %}{{message['content'] ~ '<calls><call>' ~ tool['function']['name'] ~ '<sep>' ~ tool['function']['arguments'] ~ '</call>'}}{%- endif %}{%- set ns.is_first = true -%}{%- else %}{{'<call>'+ tool['function']['name'] + '<sep>' + (tool['function']['arguments']|string) + '</call>'}}{%- endif %}{%- endfor %}{{'</calls><eos>'}}{%- endif %}{%- if message['role'] == 'assistant' and (message['tool_calls'] is not defined or message['tool_calls'] is none) %}{%- if ns.is_last_user %}{{'<Assistant>'}}{%- if message['prefix'] is defined and message['prefix'] and thinking %}{{'<think>'}}  {%- else %}{{'</think>'}}{%- endif %}{%- endif %}{%- set ns.is_last_user = false -%}{%- if ns.is_tool %}{{message['content'] + '<eos>'}}{%- set ns.is_tool = false -%}{%- else %}{%- set content = message['content'] -%}{%- if '</think>' in content %}{%- set content = content.split('</think>', 1)[1] -%}{%- endif %}{{content + '<eos>'}}{%- endif %}{%- endif %}{%- if message['role'] == 'tool' %}{%- set ns.is_last_user = false -%}{%- set ns.is_tool = true -%}{{'<out>' + message['content'] + '</out>'}}{%- endif %}{%- endfor -%}{%- if add_generation_prompt and ns.is_last_user and not ns.is_tool %}{{'<Assistant>'}}{%- if not thinking %}{{'</think>'}}{%- else %}{{'<think>'}}{%- endif %}{% endif %}"""

SOURCES["elements"] = """\
{%- macro element(name, value) -%}
<{{ name }}>
{%- if value is mapping -%}
  {%- for key, inner in value|dictsort %}{{ element(key, inner) }}{% endfor -%}
{%- elif value is sequence and value is not string -%}
  {%- for inner in value %}{{ element('item', inner) }}{% endfor -%}
{%- elif value is string -%}
  {{ value | replace('&', '&amp;') | replace('<', '&lt;') }}
{%- elif value is boolean or value is none -%}
  {{ value | tojson }}
{%- else -%}
  {{ value }}
{%- endif -%}
</{{ name }}>
{%- endmacro -%}
{%- macro visible(content) -%}
    {%- if content is string -%}
        {{- content }}
    {%- elif content is iterable and content is not mapping -%}
        {%- for item in content -%}
            {%- if item is mapping and item.type == 'text' -%}{{- item.text }}{%- elif item is string -%}{{- item }}{%- else -%}{{- '[' ~ item.type ~ ']' }}{%- endif -%}
        {%- endfor -%}
    {%- elif content is none -%}
        {{- '' }}
    {%- else -%}
        {{- content }}
    {%- endif -%}
{%- endmacro -%}
{%- for message in messages -%}
{%- if message.role in ['user', 'system', 'developer'] %}
]~b]{{ message.role ~ '\\n' ~ visible(message.content) }}[e~[
{% elif message.role == 'assistant' %}
]~b]ai
{% if message.reasoning_content %}{{ '<think>' ~ '\\n' ~ message.reasoning_content ~ '\\n' ~ '</think>' ~ '\\n\\n' }}{% endif %}
{{- visible(message.content | default('', true)) -}}
{%- for call in message.tool_calls or [] %}
<invoke name="{{ call.function.name }}">
{%- set arguments = call.function.arguments -%}
{%- if arguments is mapping %}
{% for k, v in arguments.items() %}
{{ element(k, v) }}
{% endfor %}
{%- else %}{{ arguments | e }}{% endif -%}
</invoke>
{%- endfor %}[e~[
{% elif message.role == 'tool' %}
{%- if loop.first or loop.previtem.role != 'tool' %}
]~b]tool
{%- endif %}
<response>{{ visible(message.content) }}</response>
{%- if loop.last or loop.nextitem.role != 'tool' %}[e~[
{% endif -%}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{ ']~b]ai' ~ '\\n' ~ '<think>' ~ '\\n' }}{%- endif -%}
"""

SOURCES["declarations"] = """\
{%- macro kind(spec, required, indent=0) -%}
    {%- if spec.type == "array" -%}
        {%- if spec['items'] -%}{{ kind(spec['items'], []) }}[]{%- else -%}any[]{%- endif -%}
        {%- if spec.nullable -%} | null{%- endif -%}
    {%- elif spec.type is defined and spec.type is iterable and spec.type is not string and spec.type is not mapping and spec.type[0] is defined -%}
        {{- spec.type | join(" | ") }}
    {%- elif spec.oneOf or spec.anyOf -%}
        {%- for variant in spec.oneOf or spec.anyOf -%}
            {{- kind(variant, required) -}}
            {%- if variant.description %}{{- "// " + variant.description }}{%- endif -%}
            {%- if not loop.last %}{{ " | " }}{% endif -%}
        {%- endfor -%}
    {%- elif spec.type == "string" -%}
        {%- if spec.enum -%}{{- '"' + spec.enum|join('" | "') + '"' -}}{%- else -%}string{%- if spec.nullable %} | null{%- endif -%}{%- endif -%}
    {%- elif spec.type in ("number", "integer") -%}
        number
    {%- elif spec.type == "boolean" -%}
        boolean
    {%- elif spec.type == "object" -%}
        {%- if spec.properties -%}
            {{- "{\\n" }}
            {%- for name, inner in spec.properties.items() -%}
                {{- " " * indent ~ name }}{{ "?" if name not in (spec.required or []) }}: {{ kind(inner, spec.required or [], indent + 2) }}{{ "," if not loop.last }}{{ "\\n" }}
            {%- endfor -%}
            {{- " " * (indent - 2 if indent >= 2 else 0) ~ "}" }}
        {%- else -%}
            object
        {%- endif -%}
    {%- else -%}
        any
    {%- endif -%}
{%- endmacro -%}
{%- macro declarations(namespace_name, tools) -%}
    {{- "## " + namespace_name + "\\n\\n" }}
    {{- "namespace " + namespace_name + " {\\n\\n" }}
    {%- for tool in tools %}
        {%- set tool = tool.function if tool.function is defined else tool %}
        {{- "// " + tool.description|replace("\\n", "\\n// ") + "\\n" }}
        {{- "type "+ tool.name + " = " }}
        {%- if tool.parameters and tool.parameters.properties %}
            {{- "(_: {\\n" }}
            {%- for name, spec in tool.parameters.properties.items() %}
                {%- if spec.description %}{{- "// " + spec.description + "\\n" }}{%- endif %}
                {{- name }}
                {%- if name not in (tool.parameters.required or []) %}{{- "?" }}{%- endif -%}
                {{- ": " }}
                {{- kind(spec, tool.parameters.required or [], 2) }}
                {%- if spec.default is defined -%}
                    {%- if spec.default is string -%}{{- ', // default: "' ~ spec.default ~ '"' }}{%- else -%}{{- ", // default: " ~ spec.default }}{%- endif -%}
                {%- endif -%}
                {%- if not loop.last %}{{- ",\\n" }}{%- else %}{{- "\\n" }}{%- endif -%}
            {%- endfor %}
            {{- "}) => any;\\n\\n" }}
        {%- else -%}
            {{- "() => any;\\n\\n" }}
        {%- endif -%}
    {%- endfor %}
    {{- "} // namespace " + namespace_name }}
{%- endmacro -%}
{%- set has_tools = tools is defined and tools -%}
<|start|>system<|message|>Date: {{ strftime_now("%Y-%m-%d") }}
Reasoning: {{ reasoning_effort | default("medium") | upper }}
{% if has_tools %}{{ declarations("functions", tools) }}{% endif %}<|end|>
{%- set last_call = namespace(name=none) %}
{%- for message in messages -%}
    {%- if message.role == 'assistant' -%}
        {%- if message.tool_calls -%}
            {%- set call = message.tool_calls[0].function -%}
            {%- if message.content and message.thinking %}{{ raise_exception("Content and thinking cannot both stand beside calls.") }}{% endif -%}
            {{- "<|start|>assistant to=functions." ~ call.name ~ "<|channel|>commentary json<|message|>" ~ call.arguments|tojson ~ "<|call|>" }}
            {%- set last_call.name = call.name %}
        {%- elif loop.last and not add_generation_prompt %}
            {%- if "thinking" in message %}{{- "<|start|>assistant<|channel|>analysis<|message|>" ~ message.thinking ~ "<|end|>" }}{%- endif %}
            {{- "<|start|>assistant<|channel|>final<|message|>" ~ message.content ~ "<|return|>" }}
        {%- else %}
            {{- "<|start|>assistant<|channel|>final<|message|>" ~ message.content ~ "<|end|>" }}
            {%- set last_call.name = none %}
        {%- endif %}
    {%- elif message.role == 'tool' -%}
        {%- if last_call.name is none %}{{- raise_exception("An answer of a tool, but no call.") }}{%- endif %}
        {{- "<|start|>functions." ~ last_call.name ~ " to=assistant<|message|>" ~ message.content|tojson ~ "<|end|>" }}
    {%- else -%}
        {{- "<|start|>" ~ message.role ~ "<|message|>" ~ message.content ~ "<|end|>" }}
    {%- endif -%}
{%- endfor -%}
{{ "<|start|>assistant" if add_generation_prompt }}"""

SOURCES["documents"] = """\
{%- macro document(doc, index) %}
Document: {{ index }}
{% for key, value in doc.items() %}
{{ key|capitalize }}: {{ value|string|indent(4) }}
{% endfor %}
{%- endmacro -%}
{%- set counted = namespace(docs=0) -%}
{%- if documents is defined and documents %}
{% for doc in documents %}
{% set counted.docs = counted.docs + 1 %}
{{ document(doc, loop.index0) }}
{%- endfor %}
{{ counted.docs }} document{{ 's' if counted.docs != 1 }}, longest {{ documents|map(attribute='text')|map('length')|max }} characters.
{% endif %}
{% for role, group in messages|groupby('role') %}
{{ '%-10s|%3d' % (role, group|length) }}{{ ' ' }}{{ group|selectattr('content', 'string')|map(attribute='content')|map('truncate', 12, true, '…', 0)|map('replace', '\\n', ' ')|join(' / ') }}
{% endfor %}
{% for batch in messages|batch(3, none) %}
{% for message in batch %}{{ message.role[0]|upper if message else '-' }}{% endfor %}{{ ' ' if not loop.last }}
{%- endfor %}

{% for column in messages|slice(2, none) %}{{ column|map(attribute='role')|map('default', '-')|map('first')|join }};{% endfor %}

{{ messages|map(attribute='role')|unique|sort|join(',') }} {{ messages|rejectattr('tool_calls', 'defined')|list|length }} {{ (messages|first|default({})).role }} {{ messages|map(attribute='content')|select('string')|map('length')|sum }}
"""

SOURCES["turns"] = """\
{{ bos_token }}{% if messages and messages[0]['role'] == 'system' %}{{ raise_exception('No system role here') }}{% endif %}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Turns must alternate, and number ' ~ loop.index ~ ' does not') }}{% endif %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}{{ '<turn>' + role + '\\n' + message['content'] | trim + '</turn>\\n' }}{% endfor %}{% if add_generation_prompt %}{{'<turn>model\\n'}}{% endif %}"""

SOURCES["blocks"] = """\
{%- macro turn(role, close=true) -%}
<{{ role }}{% if kwargs %} {{ kwargs|tojson(sort_keys=true) }}{% endif %}{% if varargs %} {{ varargs|join('+') }}{% endif %}>
{{- caller(role|upper) if caller else 'silence' -}}
{% if close %}</{{ role }}>{% endif %}
{%- endmacro %}
{% for message in messages %}
{%- if message.role == 'assistant' %}
{%- generation %}
{%- set spoken = message.content|default('', true) -%}
{{ turn('silent') ~ spoken }}
{%- endgeneration %}{{ spoken is defined }}
{% else %}
{%- call(name) turn(message.role, true, loop.index, 'x', size=message.content|default('', true)|length) -%}
[{{ name }}] {{ message.content }}{{ loop.index }}
{%- endcall %}
{% endif %}
{% endfor %}
{%- set frame | upper | replace('A', '4') %}
framed by {{ messages|length }} messages
{% endset -%}
{{ frame }}
{%- filter trim | indent(2, true) %}

  kept lines

  {{ frame|lower }}
{% endfilter %}
{% with total = messages|length, half = messages|length // 2 %}
{{ total }}={{ half }}+{{ total - half }}{% set total = 0 %}
{% endwith %}
{{ total is defined }}
{%- block footer %}
-- {{ add_generation_prompt }} {{ tools is none }} --
{% endblock -%}
{% autoescape false %}<{{ bos_token }}>{% endautoescape %}
{% print 'done', 1 + 1 %}
"""

SOURCES["loops"] = """\
{% set tree = [{'n': 'a', 'c': [{'n': 'b', 'c': [{'n': 'c', 'c': []}]}, {'n': 'd', 'c': []}]}, {'n': 'e', 'c': []}] %}
{%- for node in tree recursive %}
{{ '  ' * loop.depth0 }}{{ loop.index }}.{{ node.n }}{{ loop.depth }}{{ loop(node.c) if node.c }}{% if not loop.nextitem is defined %}.{% endif %}
{%- else %}nothing{% endfor %}

{% for message in messages %}
{{ loop.cycle('odd', 'even') }} {{ loop.changed(message.role) }} {{ loop.revindex }}/{{ loop.revindex0 }} {{ loop.first }} {{ loop.last }}
{%- if message.role == 'tool' %} skip
{% continue %}
{%- endif %}
{%- if loop.index > 4 %} stop{% break %}{% endif %} {{ message.content|string|length }}

{%- else %}
no messages
{%- endfor %}

{% for message in messages if message.content is string and message.content|length > 20 %}{{ loop.index }}:{{ loop.length }} {% else %}all short{% endfor %}

{% for i in range(3) %}{% set outer = loop %}{% for j in range(i + 1) if j != 1 %}{{ outer.index }}{{ loop.index0 }}{{ loop.previtem|default('-') }}{{ loop.nextitem|default('+') }} {% endfor %}{% endfor %}
{% set seen = namespace(roles=[]) %}
{% for message in messages %}{% if message.role not in seen.roles %}{% set seen.roles = seen.roles + [message.role] %}{% endif %}{% endfor %}
{{ seen.roles }} {% for k, v in {'z': 1, 'a': none}|dictsort(reverse=true) %}{{ k }}{{ v }}{% endfor %}
{% for x in [] %}{% else %}{% for x in 'né' %}<{{ x }}>{% endfor %}{% endfor %}
{% set total = 0 %}{% for n in [1, 2, 3] %}{% set total = total + n %}{{ total }} {% endfor %}{{ total }}
{% set c = cycler('x', 'y', 'z') %}{% set j = joiner(' & ') %}{% for message in messages[:5] %}{{ j() }}{{ c.next() }}{% endfor %}{{ c.current }}
{% for a, (b, c) in [(1, (2, 3)), [4, 'xy']] %}{{ a }}{{ b }}{{ c }};{% endfor %}
"""

SOURCES["spaces"] = """\
  {# a comment that stands alone #}
line one   
  {% set a = 1 %}
    {%+ if a %}
 kept {%+ endif %}
{%- if true -%}

   trimmed on both sides

{%- endif -%}
\ttab{{- ' x ' -}}   y
{% raw %}
  {{ not a tag }} {% nor this %}
{%- endraw +%}
after raw
{#- trims before -#}   and behind
{% if false %}
never
{% elif not messages %}
empty
{% else %}

 blank lines around

{% endif %}
x{% if true %}
y{% endif %}z
{{ 'a
b' }}
{{
  messages|length
}}
{%- for message in messages %}
 {{ message.role }}:
   {%- if message.content %} {{ message.content }}
   {%- endif +%}
 {% endfor %}
   {% for i in [1, 2] -%}
   {{ i }}
   {%- endfor %}

{{ '{{' }} {{ "%}" }} {{ '#}' }} { { {{ {'a': {'b': '}}'}}['a']['b'] }} } }
end"""

SOURCES["texts"] = """\
{% for message in messages if message.content is string %}
{% set c = message.content %}
{{ c|length }} {{ c[:5] }}|{{ c[-3:] }}|{{ c[::-1][:4] }}|{{ c[1:9:3] }}
{{ c.strip().split()[:3]|join('_') }} {{ c.split(' ', 1)|length }} {{ c.rsplit('.', 1)[0][:10] }} {{ c.splitlines()|length }} {{ c.partition(' ')[2][:8] }} {{ c.rpartition('\\n')[0]|length }}
{{ c.startswith(('<', '{')) }} {{ c.endswith('.') }} {{ c.find('a') }} {{ c.rfind('a') }} {{ c.count('e') }} {{ 'a' in c }} {{ c.upper()[:6] }} {{ c.title()[:9] }} {{ c|title|truncate(9, true) }} {{ c.capitalize()[:5] }}
{{ c.lstrip('<|L ')[:6] }} {{ c.rstrip()[-4:] }} {{ c.replace('e', '3', 2)[:12] }} {{ c.removeprefix('<think>')[:6] }} {{ c.removesuffix('.')[-6:] }} {{ (c ~ 7).isdigit() }} {{ c[:1].isalpha() }} {{ c[:1].isspace() }} {{ c[:2]|upper|center(8)|replace(' ', '.') }} {{ '%r' % c[:12] }}
{{ c|wordcount }}
{{ c|tojson }} {{ c|tojson(ensure_ascii=true) }} {{ c|e }} {{ [c]|string|length }} {{ c == c|string }}
{% endfor %}
{{ '{:>8}|{:<6}|{:^7}|{:*^9}'.format('r', 'l', 'c', 'x') }} {{ '{0}-{1}-{0}'.format(1, none) }} {{ '{a[k]} {b.real:05.1f}'.format(a={'k': 'v'}, b=2) }} {{ '{:,}|{:_}|{:x}|{:08b}|{:+.2e}|{:.1%}|{:g}'.format(1234567, 1234567, 255, 5, 12345.678, 0.256, 1e-7) }}
{{ '%s %r %d %5.2f %-4s| %04d %x %e %g %%' % ('a', 'a', 3.7, 2.345, 'l', 42, 255, 12345.678, 0.0001) }} {{ "%(b)s%(a)s" % {'a': 1, 'b': 2} }}
{{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % -3 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ 10 / 4 }} {{ 1e16 }} {{ 1e-5 }} {{ 0.1 + 0.2 }} {{ 1.0 }} {{ 2 ** 80 }} {{ 3.14159|round(2) }} {{ 2.5|round }} {{ 42.55|round(1, 'floor') }} {{ '12.7'|int }} {{ 'x'|int(-1) }} {{ '0x1f'|int(base=16) }} {{ '1.5e3'|float }} {{ -3|abs }} {{ true + 1 }}
{{ [3, 1, 2]|sort }} {{ ['b', 'A', 'c']|sort(reverse=true) }} {{ {'b': 1, 'a': 2}|dictsort }} {{ [1, [2, {'k': (1,)}], none, true, 'it\\'s'] }} {{ {'a': 1.0, 'b': [none, false]} }} {{ [1, 2] + [3] }} {{ (1, 2) * 2 }} {{ range(5)|list }} {{ range(10)[2:8:3]|list }} {{ dict(a=1, **{'b': 2}) }} {{ [[1, 2], [3]]|sum(start=[]) }} {{ [1, 2, 3]|map('string')|join('+') }} {{ ['a', 'B']|min }} {{ 1 < 2 <= 2 != 3 }} {{ 'a' 'b' ~ 1 ~ none }} {{ missing|default('d') }} {{ ''|default('e', true) }} {{ missing is defined }} {{ 3 is odd and 4 is divisibleby 2 }} {{ 'x' if missing else 'y' }} [{{ 'x' if missing }}] {{ none is none }} {{ {} is mapping }} {{ 'upper' is filter }} {{ namespace(a=1) }} {{ [1, 2] is sequence }} {{ 1 in [1.0] }} {{ 'k' not in {'k': 1} }}
"""
