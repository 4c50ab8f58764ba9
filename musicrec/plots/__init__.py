"""Pictures: a small table in, matplotlib Axes out. Every picture has a title and named axes with units; all share one style.

Each function takes an optional `ax` to draw on; without one it makes a figure of notebook size.
"""

from musicrec.plots.experiments import experiment
from musicrec.plots.explained import shap
from musicrec.plots.listening import cohorts, daily_plays, history_lengths, monthly_plays, monthly_users, new_tracks
from musicrec.plots.quality import feature_importance, learning_curve, metric_by_k, models, parameter, quality_and_speed, segments
from musicrec.plots.tracks import genres, list_lengths, lorenz, plays_of_tracks, popularity, top_tracks

__all__ = [
    "cohorts",
    "daily_plays",
    "experiment",
    "feature_importance",
    "genres",
    "history_lengths",
    "learning_curve",
    "list_lengths",
    "lorenz",
    "metric_by_k",
    "models",
    "monthly_plays",
    "monthly_users",
    "new_tracks",
    "parameter",
    "plays_of_tracks",
    "popularity",
    "quality_and_speed",
    "segments",
    "shap",
    "top_tracks",
]
