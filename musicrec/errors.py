"""The exceptions of musicrec. Each message is one sentence: what is wrong, where, and what to do.

MusicRecError
 ├── SettingsError          config.ini, .env or the environment: a missing, unknown or invalid key
 ├── DataError              the logs cannot be used
 │    ├── SourceError       a file is missing, in another format, truncated, or has too many unreadable lines
 │    ├── SchemaError       a table lacks a column or has one of the wrong type
 │    └── SplitError        a split leaves no user to learn from or to evaluate
 ├── ModelError             a model cannot be fitted to this train set
 ├── RankingError           a recommender is not fitted, or its ranker cannot learn or does not fit the features
 ├── EngineError            a job of the engine fails on the executors
 ├── StorageError           a folder or bucket cannot be read or written, is full, or does not answer
 ├── ArtifactError          a published run is missing, damaged, or of another format
 ├── EventStoreError        the event store cannot be written or read
 ├── MisdirectedError       a service was asked for a user of another shard
 ├── ServiceError           a service does not answer, or its answer is invalid
 └── NotebookError          a cell of the notebook failed
"""


class MusicRecError(Exception):
    """The base class of all exceptions of musicrec."""


class SettingsError(MusicRecError):
    """config.ini, .env or the environment holds a missing, unknown or invalid key."""


class DataError(MusicRecError):
    """The logs cannot be used."""


class SourceError(DataError):
    """A file is missing, in another format, truncated, or has too many unreadable lines."""


class SchemaError(DataError):
    """A table lacks a column or has one of the wrong type."""


class SplitError(DataError):
    """A split leaves no user to learn from or to evaluate."""


class ModelError(MusicRecError):
    """A model cannot be fitted to this train set."""


class RankingError(MusicRecError):
    """A recommender is not fitted, or its ranker cannot learn or does not fit the features."""


class RefusedError(MusicRecError):
    """A new run is not good enough to replace the current one unseen."""


class EngineError(MusicRecError):
    """A job of the engine fails on the executors."""


class StorageError(MusicRecError):
    """A folder or bucket cannot be read or written, is full, or does not answer."""


class ArtifactError(MusicRecError):
    """A published run is missing, damaged, or of another format."""


class EventStoreError(MusicRecError):
    """The event store cannot be written or read."""


class ExcludedUserError(MusicRecError):
    """The user was deleted: nothing is stored of such a user, and nothing personal answered."""

    def __init__(self) -> None:
        super().__init__("this user was deleted; nothing of the user is stored.")


class MisdirectedError(MusicRecError):
    """A service that holds one shard was asked for a user of another."""


class ServiceError(MusicRecError):
    """A service does not answer, or its answer is invalid."""


class NotebookError(MusicRecError):
    """A cell of the notebook failed."""
