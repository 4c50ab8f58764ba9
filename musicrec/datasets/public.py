"""Public listening logs: what they are, what they may be used for, and the files they consist of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

PublicName = Literal["yandex", "yambda-50m", "lastfm-1k", "hetrec-lastfm-2k", "listenbrainz"]


@dataclass(frozen=True)
class RemoteFile:
    """A file on a server. `size` in bytes and `checksum`, "md5:..." or "sha256:...", are None where they are not known for certain; of an
    archive only `members` are wanted, each with its checksum.
    """

    url: str
    size: int | None = None
    checksum: str | None = None
    members: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The last part of the address."""
        return self.url.rpartition("/")[2]


@dataclass(frozen=True)
class PublicLogs:
    """One set of logs. `source` reads it; `terms` is the page that says who may use it for what; without `files` it is not downloaded."""

    size: str
    licence: str
    terms: str
    source: str
    files: tuple[RemoteFile, ...] = ()
    note: str = ""


PUBLIC: dict[PublicName, PublicLogs] = {
    "yandex": PublicLogs(
        "222.6M plays, 1.37M users; 1.3 GB", "none published", "https://practicum.yandex.ru", "yandex",
        tuple(RemoteFile(f"https://storage.yandexcloud.net/mle-data/ym/{name}.parquet", size) for name, size in (
            ("tracks", 18_938_128), ("catalog_names", 36_146_495), ("interactions", 1_208_078_471))),
        "course material of Yandex Practicum; ask there before any other use."),
    "yambda-50m": PublicLogs(
        "46.5M plays, 10,000 users; 0.4 GB of plays", "Apache-2.0", "https://huggingface.co/datasets/yandex/yambda", "yambda",
        tuple(RemoteFile(f"https://huggingface.co/datasets/yandex/yambda/resolve/main/{path}.parquet", None, known) for path, known in (
            ("flat/50m/listens", "sha256:eed9cbd094af1e189507d2f8132a0dc9653b90e65480125c7cdccd601e0592d1"),
            ("flat/50m/likes", "sha256:694087077dbacfcc1d22a5ca85cc6bd8ab182361933406e60500624c6a422bc4"),
            ("flat/50m/dislikes", "sha256:64f240a6d62b8acdfa6efae660a54d10ebc64f9f2f0aeeef8e6bb0dbe7dc2802"),
            ("flat/50m/undislikes", "sha256:8cdbcf6e7e79491d560637057ba8ac078dd1610a3fab15442b6f12e45069ef85"),
            ("flat/50m/unlikes", None), ("artist_item_mapping", None), ("album_item_mapping", None))),
        "described in arXiv:2505.22238; tracks, artists and albums have ids and no names."),
    "lastfm-1k": PublicLogs(
        "19.2M plays, 992 users; 673 MB, 2.4 GB unpacked", "non-commercial", "https://zenodo.org/records/6090214", "lastfm",
        (RemoteFile("https://zenodo.org/records/6090214/files/lastfm-dataset-1K.tar.gz", None, "md5:a79a6808f54f73354789a9fb02cb1e41",
                    {"userid-timestamp-artid-artname-traid-traname.tsv": "md5:64747b21563e3d2aa95751e0ddc46b68"}),),
        "collected by Oscar Celma with permission of Last.fm."),
    "hetrec-lastfm-2k": PublicLogs(
        "186,479 tags, 1,892 users; a few MB", "non-commercial", "https://grouplens.org/datasets/hetrec-2011/", "columns",
        (RemoteFile("https://files.grouplens.org/datasets/hetrec2011/hetrec2011-lastfm-2k.zip", None,
                    "sha256:6738f48195667ff03caaab4d32ca9a3133d8cc026b7c3cdaf6ce1010e913c59c",
                    dict.fromkeys(["user_taggedartists-timestamps.dat", "user_artists.dat", "artists.dat", "tags.dat", "readme.txt"])),),
        "plays are counts without times, which no source reads; only the tags that users gave to artists have times."),
    "listenbrainz": PublicLogs(
        "all plays of all users; tens of GB, growing", "CC0", "https://data.metabrainz.org/pub/musicbrainz/listenbrainz/fullexport/",
        "listenbrainz", note="not downloaded here, because dumps are replaced by new ones under new names: take the listens dump of the "
        "latest folder there, check its .sha256, unpack it and train with --source listenbrainz."),
}
