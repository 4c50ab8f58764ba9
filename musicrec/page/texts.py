"""Every English text of the page, so that it can be translated in one place."""

TITLE = "musicrec"
SCREENS = {"/": "Listener", "/track": "Tracks and artists", "/radio": "Radio", "/runs": "Runs", "/health": "Health"}
SKIP, RUN = "Go to the content", "run {run}"
ASK_KEY, OTHER_SITE = "Give the key of the services as the password; any name will do.", "Requests from pages of other sites are refused."
READ_ONLY = "This key is for reading: nothing that you do here is stored."
SEARCH, NO_HIT = "Search a track or an artist", "Nothing fits."
INDEXING = "Names are still being read; try again in a moment."
UNNAMED, ARTIST, TRACK, RADIO = "track {id}", "{name} (artist)", "track", "Radio"
ACTIONS = {"play": ("play_arrow", "Play"), "like": ("favorite", "Like"), "skip": ("skip_next", "Skip"),
           "block_item": ("block", "Never again"), "block_artist": ("person_off", "Never this artist")}

USER, SHOW, NO_USER = "Key of a user", "Show", "Enter a key, or pick a listener at random."
PICK = {"cold": "Random cold user", "light": "Random light user", "heavy": "Random heavy user"}
PICK_HINT = "{} to {} tracks played"
SERVED, NEW, LATEST = "What is served now", "new", "Played here, the latest first: "
PLAYS_ONLY = "This events service stores plays only: no likes, skips and blocks."
START = "Start with three tracks or artists"
START_HINT = "Each choice counts as a play, an artist as one of the artist's most popular track."
WHO, NO_PLAYS = "User {key}", "No plays in the logs of this run."
PLAYED = "{plays:,} plays of {tracks:,} tracks, {first:%Y-%m-%d} to {last:%Y-%m-%d}"
BY_GENRE, BY_ARTIST, BY_MONTH = "Plays by genre", "Plays by artist", "Plays by month"
LISTS, LISTS_HINT = "What each list offers", "Bold: also in the list that is served now."
LIST_NAMES = {"published": "Published list", "als": "ALS", "content": "Content", "user_knn": "User-based CF", "popular": "Most popular"}
HISTORY = "History"
HISTORY_HEAD = {"started_at": "time (UTC)", "track": "track", "played_share": "share played", "feedback": "feedback"}

POSITION = "{listeners:,} listeners; place {place:,} of {all:,} by popularity"
SIMILAR, SIMILARITY, LISTENERS, TRACKS_OF = "Similar tracks", "similarity", "listeners", "tracks with most listeners"
RECOMMENDED_TO, RECOMMENDED = "For whom it is recommended", "In the first {k} places of the published lists of {count:,} users."
OVER_TIME = "Plays over time"

RADIO_HINT = "Choose a track or an artist; the queue goes on with tracks similar to what you play."
QUEUE, M3U, JSPF = "Queue", "Export as M3U", "Export as JSPF"

RUNS, CURRENT = "Published runs", "current"
RUNS_HEAD = ("run", "published (UTC)", "list", "NDCG@10 of warm users [95 %]", "trained until", "")
NOT_TOLD, TRAINED = "This run tells nothing about it.", "Trained until {until}; evaluated on {users:,} users from {start} on."
PROMOTION = "What other lists would have gained or lost in the backtest, as a share of the published one"
COMPARISON, SEGMENTS = "Comparison on the test set, with 95 % intervals", "Published list by segment"
GROUPS = {"warm": "warm users", "cold": "cold users", "comparison": "all users"}
FINDINGS, ACCOUNT, STAGES = "Findings about the logs", "Input", "Time and memory of stages"
DIFFERENCE, NO_RUN_BEFORE, COMPARE = "Difference to the run before", "There is no run before it.", "Compare the lists"
ROLL_BACK, ROLL_BACK_ASK = "Make this run current", "Services will answer from run {run}."
ADMIN_KEY, CANCEL = "Key for administration", "Cancel"
NO_ADMIN = "Read-only: set reload_key in [service] to make another run current from here."

HEALTH_HINT = "The numbers of /ready, /stats and /metrics, refreshed every {s} seconds."
HEALTH = {"status": "status", "uptime_s": "uptime in s", "run_id": "run", "run_age_h": "age of the run in h", "store": "store",
          "requests": "requests", "failed": "failed (status 500 and above)", "mean_ms": "mean latency in ms",
          "p95_ms": "95 % of requests take at most, in ms", "cold_share": "share of cold users (popular answers)",
          "degraded": "calls that another service did not answer"}
HEALTH_BARS = {"strategy": "Answers by strategy", "source": "Items by source", "route": "Requests by route"}
