"""Every English text of the page, so that it can be translated in one place. What a run or a service says, such as findings about the logs,
reasons and names of models, is shown as it is."""

from typing import Final

TITLE = "musicrec"
LANGUAGE: Final = "en-US"
SCREENS = {"/": "Listener", "/track": "Tracks and artists", "/radio": "Radio", "/runs": "Runs", "/experiments": "Experiments",
           "/health": "Health"}
SKIP, RUN = "Go to the content", "run {run}"
ASK_KEY, OTHER_SITE = "Give the key of the services as the password; any name will do.", "Requests from pages of other sites are refused."
READ_ONLY = "This key is for reading: nothing that you do here is stored."
SEARCH, SEARCH_ALL, NO_HIT = "Search a track or an artist", "Search a track, an artist or a genre", "Nothing fits."
INDEXING = "Names are still being read; try again in a moment."
UNNAMED, ARTIST, GENRE, TRACK, RADIO = "track {id}", "{name} (artist)", "{name} (genre)", "track", "Radio"
ACTIONS = {"play": ("play_arrow", "Play"), "like": ("favorite", "Like"), "skip": ("skip_next", "Skip"),
           "block_item": ("block", "Never again"), "block_artist": ("person_off", "Never this artist")}

USER, SHOW, NO_USER = "Key of a user", "Show", "Enter a key, or pick a listener at random."
PICK = {"cold": "Random cold user", "light": "Random light user", "heavy": "Random heavy user"}
PICK_HINT = "{} to {} tracks played"
SERVED, NEW, LATEST = "What is served now", "new", "Played here, the latest first: "
EXPLAINED = "Bars: what models and features add to the score of the ranker, in log-odds; the four of largest size of each track."
NOT_EXPLAINED = "This run does not say what the ranker made of this listener's list: [ranking] explained_users."
PARTS = {"als": "ALS", "item_knn": "item KNN", "user_knn": "user KNN", "slim": "SLIM", "agreement": "agreement of models"}
START = "Start with three tracks or artists"
START_HINT = "Each choice counts as a play, an artist as one of the artist's most popular track."
WHO, NO_PLAYS = "User {key}", "No plays in the logs of this run."
PLAYED = "{plays:,} plays of {tracks:,} tracks, {first:%Y-%m-%d} to {last:%Y-%m-%d}"
BY_GENRE, BY_ARTIST, BY_MONTH = "Plays by genre", "Plays by artist", "Plays by month"
LISTS, LISTS_HINT = "What each list offers", "Bold: also in the list that is served now."
LIST_NAMES = {"published": "Published list", "als": "ALS", "content": "Content", "user_knn": "User-based CF", "item_knn": "Item-based CF",
              "slim": "SLIM", "artist_affinity": "Artists played most", "covisitation": "Played next by others", "relisten": "Played again",
              "popular": "Most popular", "popular_decayed": "Popular lately", "popular_by_genre": "Popular by genre"}
HISTORY = "History"
HISTORY_HEAD = {"started_at": "time (UTC)", "track": "track", "played_share": "share played", "feedback": "feedback"}

SOURCE = "source"
SOURCES = {"als": "factors of ALS", "co-listening": "played by the same people", "content": "same artist, album or genre", "": "not told"}
POSITION = "{listeners:,} listeners; place {place:,} of {all:,} by popularity"
SIMILAR, SIMILARITY, LISTENERS, TRACKS_OF = "Similar tracks", "similarity", "listeners", "tracks with most listeners"
RECOMMENDED_TO, RECOMMENDED = "For whom it is recommended", "In the first {k} places of the published lists of {count:,} users."

RADIO_HINT = "Choose a track, an artist or a genre. A play leads on to what is similar to it, a like adds that, a skip only leaves."
DIFFICULTY, DIFFICULTIES = "Difficulty", {"easy": "Easy", "medium": "Medium", "hard": "Hard"}
MODES = {"mixed": "Mixed", "new": "New", "familiar": "Familiar"}
MODE, RADIO_USER, NO_TRACKS = "To this listener", "Listener (optional)", "No track is left. Choose another station, or let more in above."
QUEUE, M3U, JSPF = "Queue", "Export as M3U", "Export as JSPF"

RUNS, CURRENT = "Published runs", "current"
RUNS_HEAD = ("run", "published (UTC)", "list", "NDCG@10 of warm users [95 %]", "trained until (UTC)", "")
NOT_TOLD, TRAINED = "This run tells nothing about it.", "Trained until {until}; evaluated on {users:,} users from {start} on."
PROMOTION = "What other lists would have gained or lost in the backtest, as a share of the published one"
COMPARISON, SEGMENTS = "Comparison on the test set, with 95 % intervals", "Published list by segment"
GROUPS = {"warm": "warm users", "cold": "cold users", "comparison": "all users"}
FINDINGS, ACCOUNT, STAGES, ALL_STAGES = "Findings about the logs", "Input", "Time and memory of stages", "With the steps of each stage"
DIFFERENCE, NO_RUN_BEFORE, COMPARE = "Difference to the run before", "There is no run before it.", "Compare the lists"
ROLL_BACK, ROLL_BACK_ASK = "Make this run current", "Services will answer from run {run}."
ADMIN_KEY, CANCEL = "Key for administration", "Cancel"
NO_ADMIN = "{what}: set reload_key in [service] to do it from here."
CHANGED_LISTS = {"users with a list": "users with a list", "changed lists": "changed lists", "items in lists": "items in lists"}
# What columns of records and metrics are called.
HEADS = {"ndcg@10": "NDCG@10", "map@10": "MAP@10", "hit_rate@10": "hit rate@10", "artist_diversity@10": "artists in 10 places, share",
         "precision@10": "precision@10", "recall@10": "recall@10", "recall@100": "recall@100", "coverage@10": "coverage@10",
         "exposure@10": "share of first 10 places", "gain": "gain, share", "trained_until": "trained until (UTC)", "published": "published",
         "model": "model", "list": "list", "users": "users", "of": "of", "segment": "segment", "meaning": "meaning", "count": "count",
         "severity": "severity", "finding": "finding", "action": "action", "name": "name", "bytes": "size in bytes", "lines": "lines",
         "rows": "rows", "stage": "stage", "seconds": "time in s", "core_seconds": "time of a core in s", "peak_gb": "highest memory in GB",
         "variant": "variant", "sessions": "sessions", "impressions": "impressions", "plays": "plays", "kept_plays": "kept plays",
         "skips": "skips", "likes": "likes", "listening": "listening", "latency_ms": "latency in ms", "failed": "failed answers, share",
         "degraded": "answers that lack a part, share", "empty": "empty answers, share"}

EXPERIMENTS, EXPERIMENT, NO_EXPERIMENT = "Experiments", "Experiment {name}", "There are none: {file} does not describe any."
EXPERIMENTS_HEAD = ("experiment", "state", "share of users", "variants (weight)", "from (UTC)", "until (UTC)")
STATES = {"runs": "runs", "paused": "paused", "has not begun": "has not begun", "has ended": "has ended"}
VARIANTS_HEAD, AS_IT_IS = ("variant", "weight", "settings"), "as in config.ini"
CHANGES = {"pause": ("Pause", "Nobody is assigned to {name} until it is resumed; its users are served as all others."),
           "resume": ("Resume", "Users are assigned to {name} again, each to the variant of before."),
           "stop": ("Stop", "{name} ends now, for good.")}
ASSIGNMENT, ASSIGNMENT_HEAD, OUTSIDE = "Who is in which variant", ("experiment", "variant", "state"), "outside the share"
REPORT, MAKE_REPORT = "What it shows", "Read the event store and report"
NO_REPORT = "Nothing was reported yet. A report needs [service] impressions = true and takes from seconds to minutes."
REPORTED = "As of {at:%Y-%m-%d %H:%M} UTC, {days:,} days of users."
MATCH = "Sample ratio: users are split as the weights say (p = {p:.3g})."
MISMATCH = "Sample ratio: users are not split as the weights say (p = {p:.3g}); find out why before you trust anything below."
DIFFERENCES = "Difference to the control per user, after CUPED, with 95 % interval"
DIFFERENCES_HINT = ("The bar is the interval that holds however often one looks, with 0 in the middle. A difference counts where p is "
                    "below 0.05. Skips and likes are guardrails: stop a variant that makes them worse.")
DIFFERENCES_HEAD = ("variant", "metric", "control, mean per user", "difference [95 %]", "at any look", "p (Holm)")
GUARDRAILS = "Guardrails: the answers themselves, mean per user"
WORSE = "{variant} is worse than the control in: {metric}."
BY_DAY, DAY, KEPT_OF = "By day", "day (UTC)", "{variant}: kept plays per user [95 %] (users)"

SERVICES = {"recommendations": "recommendations", "features": "features", "events": "events"}
HEALTH_HINT = "The numbers of /ready, /stats and /metrics, refreshed every {s} seconds."
HEALTH = {"status": "status", "uptime_s": "uptime in s", "run_id": "run", "run_age_h": "age of the run in h", "store": "store",
          "requests": "requests", "failed": "failed (status 500 and above)", "mean_ms": "mean latency in ms",
          "p95_ms": "95 % of requests take at most, in ms", "cold_share": "share of cold users (popular answers)",
          "degraded": "calls that another service did not answer"}
HEALTH_BARS = {"strategy": "Answers by strategy", "source": "Items by source", "route": "Requests by route"}
