"""Sets of settings for one purpose: `musicrec train --preset NAME`. A preset goes before config.ini and behind the environment."""

from typing import Literal

Preset = Literal["quick", "standard", "best"]
PRESETS: dict[Preset, dict[str, str]] = {
    # A first look at new logs: nothing is tuned, fewer folds and users to learn from, one seed, no user-based CF.
    "quick": {"MUSICREC_TUNING_TRIALS": "0", "MUSICREC_SPLIT_FOLDS": "2",
              "MUSICREC_CANDIDATES_MODELS": "popular_decayed popular_by_genre als item_knn artist_affinity",
              "MUSICREC_RANKING_N_SEEDS": "1", "MUSICREC_RANKING_MAX_TRAINING_USERS": "2000", "MUSICREC_RANKING_ITERATIONS": "150",
              "MUSICREC_EVALUATION_BACKTEST_USERS": "3000", "MUSICREC_EVALUATION_MAX_USERS": "20000",
              "MUSICREC_EVALUATION_BOOTSTRAP_SAMPLES": "200"},
    "standard": {},
    # Where hours matter less than the last percent: a long search, all models, more users to learn from, smaller steps with more trees.
    "best": {"MUSICREC_TUNING_TRIALS": "100", "MUSICREC_TUNING_MAX_PAIRS": "200000000", "MUSICREC_CANDIDATES_MODELS":
                     "popular_decayed popular_by_genre als item_knn user_knn content artist_affinity slim covisitation",
                 "MUSICREC_RANKING_N_SEEDS": "5", "MUSICREC_RANKING_MAX_TRAINING_PAIRS": "400000", "MUSICREC_RANKING_LEARNING_RATE": "0.05",
                 "MUSICREC_EVALUATION_BACKTEST_USERS": "20000"},
}
