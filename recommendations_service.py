"""Recommendations service. Start it from the project folder with: uvicorn recommendations_service:app."""

from musicrec import settings
from musicrec.errors import MusicRecError
from musicrec.serving.recommendations import create_app

try:
    app = create_app(settings.load(), settings.s3_environment())
except MusicRecError as cause:
    raise SystemExit(str(cause)) from None
