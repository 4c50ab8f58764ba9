"""The two-stage recommender: one object with models, features, ranker and constraints.

    recommender = TwoStageRecommender({"als": ALS(), "item_knn": ItemKNN()}, {"item_age": ItemAge()}, ranker)
    fitted = recommender.fit(train)
    fitted.candidates([617032]).to_pandas()
    fitted.recommend([617032], k=10).to_pandas()
    fitted.save(folder)
"""

from musicrec.recommender.tables import CandidateTable, Recommendations
from musicrec.recommender.two_stage import BLENDED, RANKED, RRF, TwoStageRecommender

__all__ = ["BLENDED", "RANKED", "RRF", "CandidateTable", "Recommendations", "TwoStageRecommender"]
