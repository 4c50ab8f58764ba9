"""Sources: readers of logs, which return three raw tables. A source is added by one file and one line in SOURCES, or by another
package as an entry point of musicrec.sources."""

from collections.abc import Mapping

from musicrec.plugins import WithPlugins
from musicrec.sources.botify import Botify
from musicrec.sources.columns import Columns
from musicrec.sources.further import with_further_plays
from musicrec.sources.lastfm import Lastfm
from musicrec.sources.raw import RawTables, Source
from musicrec.sources.yandex import Yandex

SOURCES: Mapping[str, type[Source]] = WithPlugins("musicrec.sources", {
    "yandex": Yandex,
    "botify": Botify,
    "lastfm": Lastfm,
    "columns": Columns,
})

__all__ = ["SOURCES", "RawTables", "Source", "with_further_plays"]
