"""The number of files and connections that a service may have open."""

import resource
from contextlib import suppress

from musicrec.serving.access_log import log

_ENOUGH = 4096


def raise_descriptor_limit() -> None:
    """Raise the limit of this process to the most that the system allows, and warn when that is little.

    Systems start programs with a limit of 1,024, which as many silent connections use up.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS names no limit and has one
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    if soft != resource.RLIM_INFINITY and soft < _ENOUGH:
        log.warning("only %d files and connections may be open; raise the limit: LimitNOFILE in systemd, ulimit -Hn in a shell", soft)
