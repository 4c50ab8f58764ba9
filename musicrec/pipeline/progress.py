"""A progress bar over named steps, silent where nobody watches."""

from collections.abc import Iterator, Mapping
from typing import TypeVar

from tqdm import tqdm

Step = TypeVar("Step")


def steps(named: Mapping[str, Step], title: str) -> Iterator[tuple[str, Step]]:
    """The items of `named`, the name of the current one shown in the bar; no bar when stderr is no terminal."""
    with tqdm(total=len(named), desc=title, unit="step", disable=None) as bar:
        for name, step in named.items():
            bar.set_postfix_str(name)
            yield name, step
            bar.update()
