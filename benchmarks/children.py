"""One measured step in a process of its own, so that its peak memory is its own: both sides of a comparison are children of one script."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Measured:
    """Seconds on the clock, seconds of a core, and the highest resident memory in GB of one child."""

    seconds: float
    core_seconds: float
    peak_gb: float

    def __str__(self) -> str:
        return f"{self.seconds:8.1f} s{self.core_seconds:9.1f} s of a core   peak {self.peak_gb:6.2f} GB"


def ratios(theirs: Measured, ours: Measured) -> str:
    """How many times as much of each the other side needs."""
    return (f"time {theirs.seconds / ours.seconds:.2f}, seconds of a core {theirs.core_seconds / ours.core_seconds:.2f}, "
            f"peak memory {theirs.peak_gb / ours.peak_gb:.2f}")


def measured(module: str, *arguments: str) -> Measured:
    """Run `python -m module arguments` and measure it, start of the interpreter included. Raises RuntimeError when it fails."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", module, *arguments])
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{module} {' '.join(arguments)} ended with {process.returncode}")
    return Measured(time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1e6)


def machine() -> str:
    """Cores, memory and load, for the head of a result."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return f"{os.cpu_count()} cores, {memory:.0f} GB, load {os.getloadavg()[0]:.1f}, Python {sys.version.split()[0]}"
