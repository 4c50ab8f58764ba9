"""The ranker as a Recommender: generators offer, features describe, the model orders. Users stream through in batches."""

from collections.abc import Mapping
from dataclasses import dataclass

from musicrec.lists import Recommender
from musicrec.matrix import Float32, Int32
from musicrec.ranking.matrices import Features
from musicrec.ranking.model import Ranker
from musicrec.ranking.pairs import Pairs, answers, pairs, top


@dataclass(frozen=True)
class Ranked:
    """Fitted generators and features of one history under a ranker. Each generator offers `per_generator`, `per_user` are scored."""

    recommenders: Mapping[str, Recommender]
    features: Features
    ranker: Ranker
    per_generator: int = 100
    per_user: int = 300

    def recommend(self, user_index: Int32, k: int) -> tuple[Int32, Float32]:
        """Items int32 (n, k) and scores float32 (n, k); memory: n x per_user x features x 4 bytes."""
        found = pairs(answers(self.recommenders, user_index, self.per_generator), user_index, self.per_user)
        return self.ranker.rank(found, self.features, k)


@dataclass(frozen=True)
class Scored:
    """Pairs at hand with their scores (m,) as a Recommender of exactly their users."""

    found: Pairs
    scores: Float32

    def recommend(self, user_index: Int32, k: int) -> tuple[Int32, Float32]:
        """Items int32 (n, k) and scores float32 (n, k) of the users of the pairs, whatever `user_index` says."""
        return top(self.found, self.scores, k)
