"""Published statistics of the Yandex Music data, which generated data follows; `benchmarks/generate.py` compares both."""

from musicrec.datasets.synthetic.distribution import Distribution

N_USERS, N_TRACKS, N_EVENTS = 1_373_221, 1_000_000, 222_629_898
N_ALBUMS, N_ARTISTS = 658_724, 153_581
MAX_USER_ID, MIN_TRACK_ID, MAX_TRACK_ID = 1_374_582, 26, 101_521_819
# Listens of the four most played tracks. Those of the fifth are not published.
HITS, FIFTH = (111_062, 106_921, 101_924, 99_490), 80_000
TRACK_ID_QUARTILES = (15_430_000, 34_550_000, 56_930_000)

HISTORY_LENGTHS = Distribution(
    (*((length, 0.00098 * length) for length in range(1, 11)),
     (11, 0.039), (12, 0.0658), (13, 0.0904), (14, 0.1130), (15, 0.1339), (16, 0.1535), (17, 0.1715), (18, 0.1888), (19, 0.2048),
     (20, 0.2207)),
    ((0.25, 23), (0.5, 55), (0.75, 154), (0.9, 389), (0.95, 650), (0.99, 1576), (0.999, 4300), (1 - 0.5 / N_USERS, 16_637)))
MEAN_HISTORY = N_EVENTS / N_USERS
LISTENS_PER_TRACK = Distribution(
    ((5, 0.0538), (6, 0.1322), (7, 0.1937), (8, 0.2438), (9, 0.2856), (10, 0.3215)),
    ((0.5, 19), (0.75, 67), (0.9, 300), (0.95, 760), (0.99, 3927), (0.999, 19_165), (1 - 4.5 / N_TRACKS, FIFTH),
     *((1 - (place + 0.5) / N_TRACKS, HITS[place]) for place in (3, 2, 1, 0))))
ALBUMS_PER_TRACK = Distribution(((0, 0.000018), (1, 0.56), (2, 0.79), (3, 0.902)),
                          ((0.95, 6), (0.99, 24), (0.999, 130), (0.9999, 600), (1 - 0.5 / N_TRACKS, 2844)))
TRACKS_PER_ALBUM = Distribution(((1, 0.62), (2, 0.69), (3, 0.73), (4, 0.76), (5, 0.78), (6, 0.805)),
                          ((0.95, 22), (0.99, 45), (0.9999, 220), (1 - 0.5 / N_ALBUMS, 1001)))
ARTISTS_PER_TRACK = Distribution(((0, 0.015369), (1, 0.76), (2, 0.93), (3, 0.97)), ((0.995, 6), (1 - 0.5 / N_TRACKS, 26)))
TRACKS_PER_ARTIST = Distribution(((1, 0.52), (2, 0.62), (3, 0.69), (4, 0.74), (5, 0.78), (6, 0.81)),
                           ((0.95, 34), (0.99, 119), (0.999, 450), (1 - 0.5 / N_ARTISTS, 2038)))
TRACKS_PER_GENRE = Distribution(((10, 0.03), (30, 0.06), (79, 0.1)), ((0.5, 1958), (0.75, 8400), (0.9, 21_240), (0.94, 42_000)))

# The ten largest genres and three whose share of listens is known: tracks, and percent of (track, genre) listens.
GENRES = {
    "pop": (166_285, 14.76), "rap": (128_212, 10.04), "allrock": (118_509, 8.26), "electronics": (114_245, 5.34),
    "metal": (72_311, 3.30), "rusrap": (65_958, 6.72), "foreignrap": (59_778, 3.24), "rock": (55_177, 3.39), "dance": (51_631, 4.33),
    "ruspop": (46_707, 7.07), "rusrock": (24_000, 3.50), "alternative": (28_000, 2.69), "indie": (21_500, 2.65),
}
KNOWN_TRACK_COUNTS = tuple(GENRES)[:10]
PARENTS = {"rusrap": "rap", "foreignrap": "rap", "rock": "allrock", "rusrock": "allrock", "dance": "electronics", "ruspop": "pop"}
STANDING_ALONE = ("alternative",)
N_GENRES, N_NAMED_GENRES = 173, 166
UNNAMED_GENRES = (124, 126, *range(130, 136), 146, 148, *range(150, 170))
UNNAMED_TRACKS, NO_GENRE_TRACKS, GENRE_LISTS, MOST_GENRES = 48_369, 3_687, 1_627, 10

REPEATED_TITLES, REPEATED_ALBUMS, REPEATED_ARTISTS = 0.469, 0.331, 0.016
SHARED_IDS = 35_774

TEST_START = 349
TEST_USERS, COLD_USERS, USER_DAYS = 783_525, 30_655, 86_831_307
# Share of the year's listens per day, in millionths: (days since 2022-01-01, share), linearly interpolated.
DAILY_SHARE = (
    (0, 164), (1, 169), (2, 178), (3, 196), (4, 210), (5, 224), (7, 246), (10, 287), (30, 543), (50, 799), (70, 1063), (90, 1333),
    (110, 1611), (130, 1903), (150, 2195), (170, 2505), (190, 2825), (210, 3163), (230, 3514), (250, 3893), (270, 4276), (290, 4650),
    (310, 4988), (334, 5212), (340, 5180), (346, 5043), (349, 4920), (351, 4824), (352, 4746), (353, 4655), (354, 4600), (355, 4486),
    (356, 4349), (357, 4244), (358, 4071), (359, 3856), (360, 3564), (361, 3327), (362, 2848), (363, 1976), (364, 1031),
)
