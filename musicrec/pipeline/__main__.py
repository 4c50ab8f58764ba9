"""`python -m musicrec.pipeline [config.ini]`: every stage without the notebook's pictures, and the comparison table at the end.

Each stage that is over is told on stderr with its time and memory.
"""

import logging
import sys
from pathlib import Path

from tqdm.contrib.logging import logging_redirect_tqdm

from musicrec import pipeline, settings
from musicrec.errors import MusicRecError
from musicrec.evaluation import HEADLINE


def main(arguments: list[str]) -> int:
    """0, or 1 after one sentence on stderr; 130 after Ctrl-C. Earlier artifacts stay in both cases."""
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    logging.getLogger(pipeline.__name__).setLevel(logging.INFO)
    try:
        with logging_redirect_tqdm():
            result = pipeline.run(settings.load(Path(arguments[0]) if arguments else settings.CONFIG))
    except MusicRecError as cause:
        print(f"{type(cause).__name__}: {cause}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, RuntimeError, SystemError) as cause:
        if not interrupted(cause):
            raise
        print("Stopped by Ctrl-C; nothing was published and the earlier run is untouched.", file=sys.stderr)
        return 130
    print(result.comparison[list(HEADLINE)].to_string(index=False, float_format="{:.4f}".format))
    print(f"{result.reason}\nPublished as run {result.run_id}.\n")
    print(result.stages.to_string(index=False, float_format="{:,.2f}".format))
    print(f"highest peak of a stage: {result.stages['peak_gb'].max():.2f} GB")
    return 0


def interrupted(cause: BaseException | None) -> bool:
    """Whether Ctrl-C is behind an error: DuckDB and numba hand it on as the cause of one of their own."""
    while cause is not None and not isinstance(cause, KeyboardInterrupt):
        cause = cause.__cause__ or cause.__context__
    return cause is not None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
