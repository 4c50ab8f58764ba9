"""Every error that musicrec raises on purpose. Each message is one sentence: what is wrong, where, and what to do.

MusicRecError
 ├── SettingsError          config.ini, .env or the environment: a missing, unknown or bad key
 ├── DataError              the logs cannot be used
 │    ├── SourceError       a file is missing, is not of its kind, is cut off, or holds too many bad lines
 │    ├── SchemaError       a table lacks a column or has one of the wrong type
 │    └── SplitError        the cutoffs leave no user to learn from or to evaluate on
 ├── ModelError             a model cannot be fitted to this train set
 ├── RankingError           a recommender is not fitted, or its ranker cannot learn or does not fit the features
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
    """The cutoffs leave no user to learn from or to evaluate on."""


class ModelError(MusicRecError):
    """A model cannot be fitted to this train set."""


class RankingError(MusicRecError):
    """A recommender is not fitted, or its ranker cannot learn or does not fit the features."""


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
