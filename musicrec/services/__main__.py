"""`python -m musicrec.services`: start the three services at the addresses of config.ini and keep them until Ctrl-C."""

import os
import signal
import sys
import time
from pathlib import Path

from musicrec import settings
from musicrec.errors import MusicRecError, ServiceError
from musicrec.services.running import Service, running

LOGS = Path("var/log")


def main() -> int:
    """0 after Ctrl-C or SIGTERM; 1 after one sentence when a service does not start or ends by itself."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with running(settings.load().urls, os.environ, LOGS) as services:
            for service in services:
                print(f"{service.module:<24} {service.url}  API: {service.url}/docs  log: {service.log}", flush=True)
            print("Running; Ctrl-C stops all three.", flush=True)
            watch(services)
    except MusicRecError as cause:
        print(cause, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped.")
    return 0


def watch(services: list[Service]) -> None:
    """Wait for ever; raises ServiceError as soon as one of the services has ended."""
    while True:
        for service in services:
            if service.process.poll() is not None:
                raise ServiceError(f"{service.module} ended by itself with code {service.process.returncode}; see {service.log}.")
        time.sleep(0.5)


if __name__ == "__main__":
    sys.exit(main())
