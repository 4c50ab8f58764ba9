"""Values written into an ini file that a person has written."""

import configparser
import re
from collections.abc import Mapping


def with_values(text: str, sections: Mapping[str, Mapping[str, float]]) -> str:
    """The text of an ini file with these values: lines of keys that are there are replaced, others added; all other lines stay.

    >>> print(with_values("# mine\\n[a]\\nx = 1\\n[b]\\ny = 2\\n", {"a": {"x": 3, "z": 4}}), end="")
    # mine
    [a]
    z = 4
    x = 3
    [b]
    y = 2
    """
    lines, rest, section = list[str](), {name: dict(values) for name, values in sections.items()}, ""
    there = configparser.ConfigParser(interpolation=None)
    there.read_string(text)
    for line in text.splitlines():
        key = re.match(r"(\w+) *[=:]", line)
        if key and key[1] in rest.get(section, {}):
            line = f"{key[1]} = {rest[section].pop(key[1]):.4g}"
        lines.append(line)
        if head := re.match(r"\[(.+)\]", line):
            section = head[1]
            new = [name for name in rest.get(section, {}) if name not in there[section]]
            lines += [f"{name} = {rest[section].pop(name):.4g}" for name in new]
    for name, values in rest.items():
        lines += ["", f"[{name}]", *(f"{key} = {value:.4g}" for key, value in values.items())] if values else []
    return "\n".join(lines) + "\n"
