"""Events service. Start it from the project folder with: uvicorn events_service:app --port 8020."""

from musicrec import settings
from musicrec.errors import MusicRecError
from musicrec.serving.events import create_app

try:
    app = create_app(settings.load(), settings.s3_environment())
except MusicRecError as cause:
    raise SystemExit(str(cause)) from None
