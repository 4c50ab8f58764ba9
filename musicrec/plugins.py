"""Models, feature groups and sources of other packages, declared as entry points."""

from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import TypeVar

from musicrec.errors import SettingsError

T = TypeVar("T")


class WithPlugins(Mapping[str, T]):
    """`own`, followed by what installed packages declare under the entry point group `group`, by name.

    A package declares a model in its pyproject.toml:

        [project.entry-points."musicrec.models"]
        newest = "my_package.newest:Newest"

    It is imported when it is looked up, because it imports musicrec itself. Raises SettingsError at once for a name that is taken, and
    at the look-up for an entry point that cannot be imported; both name the package.
    """

    def __init__(self, group: str, own: Mapping[str, T]) -> None:
        self._group, self._found = group, dict(own)
        self._declared: dict[str, EntryPoint] = {}
        for entry in entry_points(group=group):
            if entry.name in own or entry.name in self._declared:
                raise SettingsError(f"{_package(entry)} declares {entry.name!r} as an entry point of {group}, and that name is taken; "
                                    "rename it there.")
            self._declared[entry.name] = entry
        self._names = (*own, *self._declared)

    def __getitem__(self, name: str) -> T:
        if name not in self._found and name in self._declared:
            entry = self._declared[name]
            try:
                self._found[name] = entry.load()
            except Exception as cause:
                raise SettingsError(f"{_package(entry)} declares {name!r} as an entry point of {self._group}, and {entry.value} cannot be "
                                    f"imported ({type(cause).__name__}: {cause}); mend or remove that package.") from cause
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else "an installed package"
