"""The parts of a run that services map, and the artifacts that each is made from. arrays.WRITERS holds the function of each."""

FORMAT = 1
PARTS: dict[str, tuple[str, ...]] = {
    "recommendations": ("recommendations.parquet",),
    "heard": ("events.parquet",),
    "popular": ("top_popular.parquet", "items.parquet"),
    "items": ("items.parquet",),
    "similar": ("similar.parquet",),
}
