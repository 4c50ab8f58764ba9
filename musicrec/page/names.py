"""Tracks, artists and genres by name, as one types: every word may be unfinished, and holds typos where nothing fits without."""

import tempfile
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import tantivy

from musicrec.page.published import Published

TRACK, ARTIST, GENRE = "track", "artist", "genre"
_WRITER_BYTES, _MOST_WORDS, _MOST_CHARACTERS = 32 << 20, 8, 100


class Hit(NamedTuple):
    """A track, an artist or a genre."""

    kind: str
    id: int


class Names:
    """An index over the names of a run, on disk, gone when the process ends. About 25 seconds for a million tracks.

    Hits are ordered by listeners, genres first. From the third letter on a word may hold one typo, from the eighth two.
    """

    def __init__(self, published: Published) -> None:
        schema = tantivy.SchemaBuilder().add_text_field("text", tokenizer_name="names").add_text_field("kind", stored=True)
        self._schema = schema.add_integer_field("listeners", fast=True).add_integer_field("id", stored=True).build()
        self._analyzer = (tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.simple()).filter(tantivy.Filter.lowercase())
                          .filter(tantivy.Filter.ascii_fold()).build())
        self._folder = tempfile.TemporaryDirectory(prefix="musicrec-names-", ignore_cleanup_errors=True)
        index = tantivy.Index(self._schema, path=self._folder.name)
        index.register_tokenizer("names", self._analyzer)
        writer = index.writer(_WRITER_BYTES, 1)
        for kind, id_, text, listeners in _entries(published):
            writer.add_document(tantivy.Document(kind=kind, id=id_, text=text, listeners=listeners))
        writer.commit()
        writer.wait_merging_threads()
        index.reload()
        self._searcher = index.searcher()

    def find(self, text: str, k: int = 10) -> list[Hit]:
        """At most k hits, the exact ones first."""
        words = self._analyzer.analyze(text[:_MOST_CHARACTERS])[:_MOST_WORDS]
        found = dict.fromkeys(self._hits(words, k, typos=False)) if words else {}
        if words and len(found) < k:
            found |= dict.fromkeys(self._hits(words, k, typos=True))
        return list(found)[:k]

    def _hits(self, words: list[str], k: int, typos: bool) -> Iterator[Hit]:
        parts = [(tantivy.Occur.Must, tantivy.Query.fuzzy_term_query(
            self._schema, "text", word, distance=((len(word) >= 3) + (len(word) >= 8)) * typos, prefix=True)) for word in words]
        for _, address in self._searcher.search(tantivy.Query.boolean_query(parts), k, order_by_field="listeners").hits:
            document = self._searcher.doc(address)
            yield Hit(document["kind"][0], document["id"][0])


def _entries(published: Published) -> Iterator[tuple[str, int, str, int]]:
    catalog = published.lookup.catalog
    for id_, listeners in zip(catalog.item_ids.tolist(), published.listeners.tolist()):
        item = catalog.item(id_)
        yield TRACK, id_, " ".join((item.name, *item.artists)), listeners
    entries = catalog.arrays
    ids, first, of = np.unique(entries["artist_ids"], return_index=True, return_inverse=True)
    totals = np.bincount(of, np.repeat(published.listeners, np.diff(entries["artist_ids_starts"])))
    yield from ((GENRE, id_, name, 1 << 40) for id_, name in published.genres.items())
    yield from ((ARTIST, id_, name, int(total)) for id_, name, total in zip(ids.tolist(), published.artist_names(ids, first), totals))
