"""The genres of generated tracks: one or two that occur together, sometimes a third."""

from dataclasses import dataclass

import numpy as np

from musicrec.datasets.synthetic import figures
from musicrec.datasets.synthetic.distribution import Floats, Ints
from musicrec.datasets.synthetic.names import words

_THIRD_SHARE, _THIRDS_PER_STYLE, _FAMILIES = 0.03, 14, ("rap", "allrock", "pop", "electronics", "metal")
_OTHER_NAMES = words("""folk jazz classical soundtrack reggae blues country punk
disco house techno trance ambient dub funk soul rnb ska gospel opera
choir chanson bard estrada romance tango bossa latin flamenco celtic balkan eastern african asian indian arabic meditation relax
lounge newage industrial gothic postpunk postrock hardcore grindcore thrash doom black deathmetal power progressive psychedelic garage
grunge britpop synthpop electropop kpop jpop dreampop shoegaze triphop lofi
breakbeat jungle drumnbass hardstyle eurodance
minimal experimental noise musical spoken audiobook children holiday military anthem vocal instrumental piano guitar strings brass""")


@dataclass(frozen=True)
class Genres:
    """ids: (n_genres,). names: (n_genres,), None where the catalog has none. style_genres: the genres (indices) of each style, at most
    two. style_tracks: (n_styles,), tracks per style; styles of one family are consecutive."""

    ids: Ints
    names: list[str | None]
    style_genres: list[tuple[int, ...]]
    style_tracks: Ints


def genres(n_tracks: int) -> Genres:
    """Genres and styles for a catalog of n_tracks, with the published number of tracks a genre. No randomness."""
    known = {name: tracks for name, (tracks, _) in figures.GENRES.items()}
    others = np.minimum(figures.TRACKS_PER_GENRE.sample(figures.N_GENRES)[: figures.N_GENRES - len(known)], min(known.values()) - 300)
    unnamed = _unnamed(others)
    names = [*known, *_other_names(len(others), unnamed)]
    counts = np.concatenate([list(known.values()), others]) * n_tracks / figures.N_TRACKS
    counts -= _THIRD_SHARE * n_tracks * _third_shares(counts)
    style_genres, style_tracks = _styles(names, counts, n_tracks * (1 - figures.NO_GENRE_TRACKS / figures.N_TRACKS))
    named = np.setdiff1d(np.arange(1, 260), figures.UNNAMED_GENRES)[: figures.N_GENRES]
    nameless = iter(figures.UNNAMED_GENRES)
    ids = np.array([next(nameless) if name is None else number for name, number in zip(names, named)])
    return Genres(ids, names, style_genres, style_tracks)


def _unnamed(others: Ints) -> Ints:
    # Every second genre from some rank on, chosen so that together they have about the published number of tracks.
    size = len(figures.UNNAMED_GENRES)
    sums = [abs(others[start: start + 2 * size: 2].sum() - figures.UNNAMED_TRACKS) for start in range(len(others) - 2 * size)]
    return int(np.argmin(sums)) + 2 * np.arange(size)


def _other_names(n: int, unnamed: Ints) -> list[str | None]:
    spare = iter([*_OTHER_NAMES, *(f"{name}revival" for name in _OTHER_NAMES)])
    return [None if place in unnamed else next(spare) for place in range(n)]


def _third_shares(counts: Floats) -> Floats:
    # Third genres are of medium size: neither the families nor the rarest.
    share: Floats = np.where((counts < counts.max() * 0.3) & (counts > counts.max() * 0.006), np.sqrt(counts), 0)
    share /= share.sum()
    return share


def _styles(names: list[str | None], counts: Floats, n_tracks: float) -> tuple[list[tuple[int, ...]], Ints]:
    """Styles of one or two genres, and tracks per style. Genres are paired with a family until one style per track is left."""
    left = {family: counts[names.index(family)] for family in _FAMILIES}
    spare = counts.sum() - n_tracks
    pairs: dict[str, list[tuple[tuple[int, ...], float]]] = {family: [] for family in _FAMILIES}
    alone: list[tuple[tuple[int, ...], float]] = []
    for place, name in enumerate(names):
        if name in _FAMILIES:
            continue
        if name in figures.STANDING_ALONE:
            alone.append(((place,), counts[place]))
            continue
        family = figures.PARENTS.get(name or "") or max(left, key=lambda key: left[key])
        paired = max(min(counts[place], left[family], spare), 0)
        left[family] -= paired
        spare -= paired
        pairs[family].append(((place, names.index(family)), paired))
        alone.append(((place,), counts[place] - paired))
    for family in _FAMILIES:
        pairs[family].append(((names.index(family),), left[family]))
    styles = [style for family in _FAMILIES for style in pairs[family]] + alone
    ends = np.rint(np.cumsum([tracks for _, tracks in styles]) / sum(tracks for _, tracks in styles) * round(n_tracks)).astype(np.int64)
    tracks = np.diff(ends, prepend=0)
    kept = np.flatnonzero(tracks)
    return [styles[place][0] for place in kept], tracks[kept]


def genre_lists(made: Genres, style: Ints, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Lengths (n_tracks,) and concatenated genre indices of each track, given its style (-1: no genre)."""
    n_styles, n_tracks = len(made.style_genres), len(style)
    pairs = np.array([(*places, -1)[:2] for places in made.style_genres])
    mentions = np.zeros(len(made.ids))
    np.add.at(mentions, pairs[pairs >= 0], np.column_stack([made.style_tracks] * 2)[pairs >= 0])
    third = rng.choice(len(made.ids), (n_styles, _THIRDS_PER_STYLE), p=_third_shares(mentions))
    chosen = third[style, np.minimum(rng.geometric(0.25, n_tracks) - 1, _THIRDS_PER_STYLE - 1)]
    has_third = (rng.random(n_tracks) < _THIRD_SHARE) & (chosen[:, None] != pairs[style]).all(axis=1)
    table = np.column_stack([pairs[style], np.where(has_third, chosen, -1)])
    table[style < 0] = -1
    there = table >= 0
    lengths, flat = there.sum(axis=1), table[there]
    many = int(np.argmax(lengths))  # one track has the published maximum of genres
    further = np.setdiff1d(np.arange(len(made.ids)), table[many])[: figures.MOST_GENRES - lengths[many]]
    flat = np.insert(flat, lengths[: many + 1].sum(), further)
    lengths[many] += len(further)
    return lengths, flat
