"""`python -m tests.compiled`: compiles and keeps what numba compiles on first use, by a training on small logs and by making some.

In a new clone every process of the tests would do so for itself, and those that measure coverage take half as long again.
"""

import tempfile
from pathlib import Path

from musicrec import pipeline, settings
from musicrec.datasets import synthetic
from tests import taste_logs

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        logs = taste_logs.write(Path(folder) / "logs")
        chosen = {**taste_logs.environment(logs, Path(folder)), "MUSICREC_RANKING_MAX_PER_ARTIST": "1"}
        pipeline.run(settings.load(Path(__file__).parents[1] / "config.ini", chosen))
        synthetic.write(Path(folder) / "synthetic", 0.002)
