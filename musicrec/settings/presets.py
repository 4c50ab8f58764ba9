"""Sets of settings for one purpose: `musicrec train --preset NAME`. A preset goes before config.ini and behind the environment."""

from typing import Literal

Preset = Literal["fast", "standard", "thorough"]
PRESETS: dict[Preset, dict[str, str]] = {
    # A first look at new logs: fewer folds and users to learn from, one seed, no user-based CF.
    "fast": {"MUSICREC_SPLIT_FOLDS": "2", "MUSICREC_CANDIDATES_MODELS": "popular_decayed popular_by_genre als item_knn artist_affinity",
             "MUSICREC_RANKING_N_SEEDS": "1", "MUSICREC_RANKING_MAX_TRAINING_USERS": "2000", "MUSICREC_EVALUATION_BACKTEST_USERS": "3000",
             "MUSICREC_EVALUATION_MAX_USERS": "20000", "MUSICREC_EVALUATION_BOOTSTRAP_SAMPLES": "200"},
    "standard": {},
    # Where hours matter less than the last percent: all models, more users to learn from, smaller steps with more trees.
    "thorough": {"MUSICREC_CANDIDATES_MODELS":
                     "popular_decayed popular_by_genre als item_knn user_knn content artist_affinity slim covisitation",
                 "MUSICREC_RANKING_N_SEEDS": "5", "MUSICREC_RANKING_MAX_TRAINING_USERS": "16000", "MUSICREC_RANKING_ITERATIONS": "600",
                 "MUSICREC_RANKING_LEARNING_RATE": "0.05", "MUSICREC_EVALUATION_BACKTEST_USERS": "20000"},
}
