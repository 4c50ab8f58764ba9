"""A music recommender: listening logs in, evaluated and published recommendations out, three services that answer with them."""


def __getattr__(name: str) -> str:
    # Only when it is asked for: what reads it takes longer to load than the rest of `musicrec --help`.
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("musicrec")
    except PackageNotFoundError:
        return "0+unknown"
