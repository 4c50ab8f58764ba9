"""Playlists as files: JSPF and extended M3U. Pure."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from pydantic_core import to_json

JSPF, M3U = "application/jspf+json", "audio/mpegurl"


class PlaylistTrack(NamedTuple):
    """A track of a playlist: title, artists, and an address that tells more about it."""

    title: str
    artists: Sequence[str]
    address: str


def jspf(title: str, tracks: Sequence[PlaylistTrack]) -> bytes:
    """The playlist in JSPF, the JSON form of XSPF (https://xspf.org/jspf)."""
    listed: list[dict[str, Any]] = [{"identifier": [track.address], "title": track.title, "creator": ", ".join(track.artists)}
                                    for track in tracks]
    return to_json({"playlist": {"title": title, "creator": "musicrec", "track": listed}})


def m3u(title: str, tracks: Sequence[PlaylistTrack]) -> bytes:
    """The playlist in extended M3U, in UTF-8; lengths are not known.

    >>> print(m3u("Radio", [PlaylistTrack("One", ["Ann", "Bob"], "http://x/items/1")]).decode(), end="")
    #EXTM3U
    #PLAYLIST:Radio
    #EXTINF:-1,Ann, Bob - One
    http://x/items/1
    """
    lines = ["#EXTM3U", f"#PLAYLIST:{_line(title)}"]
    for track in tracks:
        lines += [f"#EXTINF:-1,{_line(', '.join(track.artists))} - {_line(track.title)}", track.address]
    return "".join(f"{line}\n" for line in lines).encode()


def _line(text: str) -> str:
    """A name could otherwise begin a line of its own."""
    return " ".join(text.split())
