"""The sample: a small generated world in which personal recommendations pay.

3,000 users, 4,000 tracks and about 250,000 listens over 2022. Artists belong to scenes, scenes to genres; a user's taste is a
mixture of scenes that drifts over the year; popularity has a long tail and trends; tracks appear during the year; albums are
played in runs; some users arrive only in the last two weeks. `musicrec datasets make sample` writes it.
"""

from musicrec.datasets.sample.writing import write

__all__ = ["write"]
