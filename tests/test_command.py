"""Commands end well, or with one sentence."""

import pytest

from musicrec.command import exit_code
from musicrec.errors import MusicRecError, SourceError, StorageError


def test_a_command_that_ends_well_is_0(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is said on stderr."""
    assert exit_code(lambda: None) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("kind", [MusicRecError, SourceError, StorageError])
def test_an_error_on_purpose_is_its_sentence_and_1(kind: type[MusicRecError], capsys: pytest.CaptureFixture[str]) -> None:
    """Stderr holds the sentence and nothing else."""
    def refuse() -> None:
        raise kind("logs.parquet does not exist; name another file.")

    assert exit_code(refuse) == 1
    assert capsys.readouterr().err == "logs.parquet does not exist; name another file.\n"


@pytest.mark.parametrize("kind", [KeyboardInterrupt, ZeroDivisionError])
def test_what_nobody_raised_on_purpose_passes(kind: type[BaseException]) -> None:
    """Ctrl-C and mistakes in the code are not dressed as sentences."""
    def broken() -> None:
        raise kind

    with pytest.raises(kind):
        exit_code(broken)
