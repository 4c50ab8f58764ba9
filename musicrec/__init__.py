"""A music recommender: listening logs in, evaluated and published recommendations out, three services that answer with them."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("musicrec")
except PackageNotFoundError:
    __version__ = "0+unknown"
