"""Checks of interactions: keys, sequence, repeats, users and tracks without plays, played shares, concentration."""

import numpy as np

from musicrec.validation.logs import PLAY_KEYS, Finding, Logs
from musicrec.validation.pairs import repeated_pairs

# Concentration is reported when the top 1 % of tracks have this share of plays, and only where 1 % is at least one track.
MIN_CONCENTRATION, MIN_TRACKS = 0.2, 100
MAX_PLAYS_A_DAY, MAX_SHARE_OF_PLAYS, MIN_USERS = 2880, 0.05, 50


def nulls(logs: Logs) -> list[Finding]:
    """Missing keys in tracks or interactions."""
    counts = [("tracks", "track_id", logs.track_ids.null_count, logs.n_tracks)]
    counts += [("interactions", column, logs.of_plays[f"null_{column}"], logs.n_plays) for column in PLAY_KEYS]
    return [Finding("error", f"rows of {name} without {column}", int(n), n / total, "", "Not accepted: fill or remove them.")
            for name, column, n, total in counts if n]


def orphans(logs: Logs) -> list[Finding]:
    """Plays of tracks that are not in the catalog."""
    known = logs.track_ids.to_numpy()
    unknown = logs.of_track[~logs.of_track["track_id"].isin(known)]
    n = int(unknown["plays"].sum())
    if not n:
        return []
    return [Finding("error", "plays of tracks that are not in the catalog", n, n / logs.n_plays, f"track {unknown['track_id'].iloc[0]}",
                    "Dropped up to [data] max_orphan_share, not accepted above it.")]


def gaps_in_sequence(logs: Logs) -> list[Finding]:
    """Users whose track_seq is not 1, 2, ... n."""
    users = logs.of_user
    broken = users[(users["low"] != 1) | (users["high"] != users["plays"])]
    if not len(broken):
        return []
    first = broken.iloc[0]
    return [Finding("warning", "users with gaps or repeats in track_seq", len(broken), len(broken) / len(users),
                    f"user {first['user_id']}: {first['plays']} plays numbered {first['low']}..{first['high']}",
                    "Plays are ordered by time; track_seq only breaks ties.")]


def repeats(logs: Logs) -> list[Finding]:
    """Plays of a track that the same user played before."""
    n, user = repeated_pairs(logs)
    if not n:
        return []
    return [Finding("note", "plays that repeat an earlier (user, track)", n, n / logs.n_plays, f"user {user}",
                    "Merged in the matrix: plays are summed, the latest time is kept.")]


def tracks_without_plays(logs: Logs) -> list[Finding]:
    """Tracks of the catalog without plays."""
    known = logs.track_ids.to_numpy()
    unplayed = known[~np.isin(known, logs.of_track["track_id"].to_numpy())]
    if not len(unplayed):
        return []
    return [Finding("note", "tracks that nobody played", len(unplayed), len(unplayed) / logs.n_tracks, f"track {unplayed.min()}",
                    "Kept: only content can recommend them.")]


def skipped_user_ids(logs: Logs) -> list[Finding]:
    """Users without plays: ids between the smallest and the largest that do not occur. Not reported where most ids do not occur."""
    ids = logs.of_user["user_id"]
    span = int(ids.max()) - int(ids.min()) + 1
    n = span - len(ids)
    if not 0 < n < 0.5 * span:
        return []
    at = int(np.flatnonzero(np.diff(ids.to_numpy()) > 1)[0])
    return [Finding("note", "user ids without plays", n, n / span, f"user {ids.iloc[at] + 1}",
                    "None: they get the default list.")]


def shares_out_of_range(logs: Logs) -> list[Finding]:
    """Played shares below 0 or above 1."""
    n = logs.of_plays["odd_shares"]
    if not n:
        return []
    return [Finding("error", "played shares outside 0..1", int(n), n / logs.n_plays, f"share {logs.of_plays['odd_share']:g}",
                    "Correct the logs: shares are the weights of plays.")]


def implausible_users(logs: Logs) -> list[Finding]:
    """Accounts that no single listener can be: more plays a day than 30 seconds each allow, or a twentieth of all plays of many users."""
    users = logs.of_user
    days = ((users["last"] - users["first"]).dt.total_seconds() / 86_400).clip(lower=1.0)
    rates = users["plays"] / days
    odd = rates > MAX_PLAYS_A_DAY
    if len(users) >= MIN_USERS:
        odd |= users["plays"] > MAX_SHARE_OF_PLAYS * logs.n_plays
    if not odd.any():
        return []
    first = users[odd].sort_values("plays", ascending=False).iloc[0]
    return [Finding("warning", "accounts that no single listener can be", int(odd.sum()), float(odd.mean()),
                    f"user {first['user_id']}: {first['plays']:,} plays, {rates[first.name]:,.0f} a day",
                    "Kept; leave them out of the logs if they are machines or shops.")]


def concentration(logs: Logs) -> list[Finding]:
    """The share of plays of the top 1 % of tracks."""
    plays = logs.of_track["plays"].to_numpy()
    top = logs.n_tracks // 100
    share = float(plays[:top].sum() / plays.sum()) if logs.n_tracks >= MIN_TRACKS else 0.0
    if share < MIN_CONCENTRATION:
        return []
    return [Finding("note", "plays of the top 1 % of tracks", int(plays[:top].sum()), share,
                    f"track {logs.of_track['track_id'].iloc[0]}: {plays[0]:,} plays",
                    "Popularity is a strong baseline; compare coverage and novelty as well as precision.")]
