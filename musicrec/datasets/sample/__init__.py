"""The sample: small generated logs on which personalized models beat popularity.

3,000 users, 4,000 tracks and about 250,000 plays in 2022. Artists belong to scenes and scenes to genres. A user's taste is a
mixture of scenes that drifts over the year. Popularity has a long tail and trends, tracks are released during the year, albums are
played in sequence, and some users first play in the last two weeks. `musicrec datasets make sample` writes it.
"""

from musicrec.datasets.sample.writing import write

__all__ = ["write"]
