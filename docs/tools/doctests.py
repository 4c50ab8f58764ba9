"""Griffe extension: a doctest in a docstring becomes a fenced code block, which Markdown would take for a quotation."""

import re
from typing import Any

import griffe

_DOCTEST = re.compile(r"(?:^|(?<=\n\n))(>>> .*(?:\n(?!\n).+)*)", re.MULTILINE)


class Doctests(griffe.Extension):
    """Fences doctests."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of one object."""
        if obj.docstring is not None:
            obj.docstring.value = _DOCTEST.sub(r"```pycon\n\1\n```", obj.docstring.value)
