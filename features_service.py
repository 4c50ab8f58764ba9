"""Features service. Start it from the project folder with: uvicorn features_service:app --port 8010."""

from musicrec import settings
from musicrec.errors import MusicRecError
from musicrec.serving.features import create_app

try:
    app = create_app(settings.load(), settings.s3_environment())
except MusicRecError as cause:
    raise SystemExit(str(cause)) from None
