"""Models, feature groups and sources of other packages, declared as entry points."""

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import TypeVar

from musicrec.errors import SettingsError

T = TypeVar("T")


def with_plugins(group: str, own: Mapping[str, T]) -> dict[str, T]:
    """`own`, followed by what installed packages declare under the entry point group `group`, by name.

    A package declares a model in its pyproject.toml:

        [project.entry-points."musicrec.models"]
        newest = "my_package.newest:Newest"

    Raises SettingsError for a name that is taken and for an entry point that cannot be imported; both name the package.
    """
    found = dict(own)
    for entry in entry_points(group=group):
        package = entry.dist.name if entry.dist else "an installed package"
        if entry.name in found:
            raise SettingsError(f"{package} declares {entry.name!r} as an entry point of {group}, and that name is taken; rename it there.")
        try:
            found[entry.name] = entry.load()
        except Exception as cause:
            raise SettingsError(f"{package} declares {entry.name!r} as an entry point of {group}, and {entry.value} cannot be imported "
                                f"({type(cause).__name__}: {cause}); mend or remove that package.") from cause
    return found
