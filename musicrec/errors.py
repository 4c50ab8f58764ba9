"""Every error that musicrec raises on purpose. Each message is one sentence: what is wrong, where, and what to do.

MusicRecError
 ├── SettingsError          config.ini, .env or the environment: a missing, unknown or bad key
 ├── DataError              the logs cannot be used
 │    ├── SourceError       a file is missing, is not of its kind, is cut off, or holds too many bad lines
 │    ├── SchemaError       a table lacks a column or has one of the wrong type
 │    └── SplitError        the cutoffs leave nobody to learn from or to judge on
 ├── GeneratorError         a candidate generator cannot work with this history
 ├── RankingError           a ranker has nothing to learn from, or is given other features than it knows
 ├── StorageError           a folder or bucket refuses, is full, or does not answer
 ├── ArtifactError          a published run is missing, damaged, or of another format
 ├── EventStoreError        plays cannot be written or read
 ├── ServiceError           a service does not answer, or answers nonsense
 └── NotebookError          a cell of the notebook failed
"""


class MusicRecError(Exception):
    """Base of all; catching it catches everything that musicrec raises on purpose."""


class SettingsError(MusicRecError):
    """config.ini, .env or the environment holds a missing, unknown or bad key."""


class DataError(MusicRecError):
    """The logs cannot be used."""


class SourceError(DataError):
    """A file is missing, is not of its kind, is cut off, or holds too many bad lines."""


class SchemaError(DataError):
    """A table lacks a column or has one of the wrong type."""


class SplitError(DataError):
    """The cutoffs leave nobody to learn from or to judge on."""


class GeneratorError(MusicRecError):
    """A candidate generator cannot work with this history."""


class RankingError(MusicRecError):
    """A ranker has nothing to learn from, or is given other features than it knows."""


class StorageError(MusicRecError):
    """A folder or bucket refuses, is full, or does not answer."""


class ArtifactError(MusicRecError):
    """A published run is missing, damaged, or of another format."""


class EventStoreError(MusicRecError):
    """Plays cannot be written or read."""


class ServiceError(MusicRecError):
    """A service does not answer, or answers nonsense."""


class NotebookError(MusicRecError):
    """A cell of the notebook failed."""
