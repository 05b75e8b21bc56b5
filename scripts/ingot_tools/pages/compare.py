"""Holds what a page shows against the JSON in it. Numbers are read back from the text, not formatted a second time."""

import json
import math
import re

UNITS = {"": 1, "%": 100, "B": 1, "kB": 1e-3, "MB": 1e-6, "GB": 1e-9, "TB": 1e-12}
NUMBER = re.compile(r"(-?)([\d,]+)(?:\.(\d+))?(?:e(-?\d+))?\s*(%|B|kB|MB|GB|TB|)$")


def printable(text):
    """Control characters and overrides of direction as the command writes them."""
    def one(character):
        code = ord(character)
        hidden = (code < 0x20 or 0x7F <= code < 0xA0 or code in (0x200E, 0x200F, 0x2028, 0x2029)
                  or 0x202A <= code <= 0x202E or 0x2066 <= code <= 0x2069)
        return f"\\u{{{code:x}}}" if hidden else character
    return "".join(map(one, text))


def place(report, key):
    """The value at a key such as layers.3.hiddenError."""
    value = report
    for part in key.split("."):
        value = value[int(part)] if isinstance(value, list) else value[part]
    return value


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def shows(text, value):
    """Whether a text is this number, rounded to the digits it has."""
    tokens = re.match(r"(\d+)k$", text)
    if tokens:
        return int(tokens[1]) == value // 1024
    match = NUMBER.match(text.strip().replace("\u2212", "-"))
    if not match:
        return False
    sign, whole, fraction, exponent, unit = match.groups()
    power = int(exponent or 0)
    shown = float(f"{sign}{whole.replace(',', '')}.{fraction or 0}e{power}")
    step = 10.0 ** (power - len(fraction or ""))
    return abs(shown - value * UNITS[unit]) <= 0.5 * step * (1 + 1e-6)


def figures(seen, report):
    for one in seen["figures"]:
        try:
            value = place(report, one["key"])
        except (KeyError, IndexError, ValueError):
            yield f"{one['key']} is not in the JSON"
            continue
        if is_number(value):
            if not shows(one["text"], value):
                yield f"{one['key']} is {value}, the page shows {one['text']!r}"
        elif isinstance(value, str):
            if one["text"] != printable(value):
                yield f"{one['key']} is {value!r}, the page shows {one['text']!r}"
        elif one["text"] != "–":
            yield f"{one['key']} is {value!r}, the page shows {one['text']!r}"


def mark_value(report, key):
    return 1 - place(report, key[2:]) if key.startswith("1-") else place(report, key)


def charts(seen, report):
    """Heights of points and lengths of bars are in proportion to the values they stand for."""
    for chart in seen["charts"]:
        if not chart["title"] or not chart["described"]:
            yield f"a chart without title or description: {chart['title']!r}"
        marks = [(one, mark_value(report, one["key"])) for one in chart["marks"]]
        scale = math.log if chart["logarithmic"] else float
        points = [(scale(value), one) for one, value in marks if one["tag"] == "circle"]
        along = [(float(place(report, one["keyX"])), one["x"]) for _, one in points if one["keyX"]]
        # Places rise to the right, values upwards: an axis runs down there.
        for axis, direction in [([(value, one["y"]) for value, one in points], -1), (along, 1)]:
            if not axis or max(axis)[0] == min(axis)[0]:
                continue
            (low, start), (high, end) = min(axis), max(axis)
            for value, where in axis:
                wanted = start + (value - low) / (high - low) * (end - start)
                if abs(wanted - where) > 0.02 or (end - start) * direction <= 0:
                    yield f"{chart['title']}: a point of {value} stands at {where}, not {wanted}"
        bars = [(one, value) for one, value in marks if one["tag"] == "rect"]
        for across in ["width", "height"]:
            # Counts stand upright, in bins of their own width.
            mine = [(one, value) for one, value in bars if ("histogram" in one["key"]) == (across == "height")]
            if not mine:
                continue
            longest, most = max(((one[across], value) for one, value in mine), key=lambda pair: pair[1])
            for one, value in mine:
                wanted = longest * value / most if most else 0
                if abs(wanted - one[across]) > 0.02:
                    yield f"{chart['title']}: a bar of {value} is {one[across]} long, not {wanted}"
        for one, value in marks:
            last = re.findall(r"(-?[\d,.]+(?:e-?\d+)?\s*(?:%|kB|MB|GB|TB|B|predictions)?)(?:$|,)", one["title"])
            if not last:
                yield f"{chart['title']}: a mark without a title"
            elif not any(shows(text.replace("predictions", ""), value) for text in last):
                yield f"{chart['title']}: the mark of {value} says {one['title']!r}"


def matrix(report, key, rows):
    if "*" in key:
        return [place(report, key.replace("*", str(row))) for row in range(rows)]
    return place(report, key)


def heats(seen, report):
    """Every cell is painted once, and more has a later colour."""
    for heat in seen["heats"]:
        left, top, width, height, columns, rows = heat["grid"]
        values = matrix(report, heat["key"], rows)
        painted = {}
        for path in heat["paths"]:
            for x, y, length, tall, back in re.findall(r"M(\d+) (\d+)h(\d+)v(\d+)h-(\d+)z", path["d"]):
                if int(tall) != height or length != back:
                    yield f"{heat['key']}: a cell that is no rectangle"
                row, first = divmod(int(y) - top, height)[0], (int(x) - left) // width
                for column in range(first, first + int(length) // width):
                    if (row, column) in painted:
                        yield f"{heat['key']}: cell {row}, {column} is painted twice"
                    painted[row, column] = path["name"]
        if len(painted) != rows * columns or len(values) != rows:
            yield f"{heat['key']}: {len(painted)} cells are painted of {rows} × {columns}"
            continue
        cells = []
        for (row, column), name in painted.items():
            value = values[row][column]
            if (value is None) != (name == "hx"):
                yield f"{heat['key']}: cell {row}, {column} is {value} and has colour {name}"
            elif value is not None:
                cells.append((value, name))
        cells.sort()
        for (value, name), (more, later) in zip(cells, cells[1:]):
            if later < name or more == value and later != name:
                yield f"{heat['key']}: {value} has colour {name} and {more} {later}"
                break
    for one in seen["readouts"]:
        value = matrix(report, one["key"], one["row"] + 1)[one["row"]][one["column"]]
        shown = re.match(r"layer (\d+), expert (\d+): (.*)$", one["text"])
        if not shown or [int(shown[1]), int(shown[2])] != [one["row"], one["column"]]:
            yield f"{one['key']}: the readout says {one['text']!r}"
        elif value is None:
            if shown[3] != "nothing measured":
                yield f"{one['key']}: the readout says {one['text']!r} for null"
        elif not math.isclose(float(re.findall(r"[\d.e-]+", shown[3])[0]), value * one["scale"], rel_tol=6e-4, abs_tol=1e-12):
            yield f"{one['key']}: the readout says {one['text']!r} for {value}"


def compare(seen, printed):
    """What is wrong with a page; `printed` is what the command wrote to standard output."""
    report = json.loads(seen["report"])
    found = []
    # A page of a plan knows more than what is printed; lists are its choices.
    shared = report["choices"] if isinstance(printed, list) else {key: report.get(key) for key in printed}
    if not isinstance(printed, list):
        printed = {key: value for key, value in printed.items() if key != "output"}
        shared.pop("output", None)
    if shared != printed:
        found.append("the JSON in the page is not what --json prints")
    found += figures(seen, report)
    found += charts(seen, report)
    found += heats(seen, report)
    found += [f"labels cover each other: {one}" for one in seen["covered"]]
    found += [f"too little contrast: {one}" for one in seen["faint"]]
    found += [f"active content: {one}" for one in seen["active"]]
    if seen["width"][0] > seen["width"][1]:
        found.append(f"the page is {seen['width'][0]} wide on a screen of {seen['width'][1]}")
    if seen["scripts"] != 2:
        found.append(f"{seen['scripts']} scripts")
    if seen["harmed"] != "undefined":
        found.append("a name was run as a script")
    if seen["table"] and seen["copied"] != "\n".join("\t".join(row) for row in seen["table"]):
        found.append(f"copied: {seen['copied']!r}")
    if not seen["figures"] or not all(seen["headings"]):
        found.append("nothing is shown")
    return found
