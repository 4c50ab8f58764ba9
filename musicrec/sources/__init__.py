"""Sources: readers of logs, which return three raw tables. A source is added by one file and one line in SOURCES, or by another
package as an entry point of musicrec.sources."""

from collections.abc import Mapping

from musicrec.plugins import WithPlugins
from musicrec.sources.botify import Botify
from musicrec.sources.columns import Columns
from musicrec.sources.lastfm import Lastfm
from musicrec.sources.listenbrainz import ListenBrainz
from musicrec.sources.raw import Earlier, RawTables, Source
from musicrec.sources.spotify import Spotify
from musicrec.sources.yambda import Yambda
from musicrec.sources.yandex import Yandex

SOURCES: Mapping[str, type[Source]] = WithPlugins("musicrec.sources", {
    "yandex": Yandex,
    "botify": Botify,
    "lastfm": Lastfm,
    "listenbrainz": ListenBrainz,
    "spotify": Spotify,
    "yambda": Yambda,
    "columns": Columns,
})

__all__ = ["SOURCES", "Earlier", "RawTables", "Source"]
