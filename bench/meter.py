"""Time and peak memory of what happens inside a block, worker processes included."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psutil

SAMPLE_SECONDS = 0.05


@dataclass
class Meter:
    """Samples the memory of this process and its children while it is on."""

    samples: list[tuple[float, float]] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def peak_gb(self, start: float, end: float) -> float:
        """Return the highest memory between two moments of the wall clock, in GB."""
        inside = [gb for at, gb in self.samples if start - SAMPLE_SECONDS <= at <= end + SAMPLE_SECONDS]
        return max(inside, default=0.0)

    def run(self) -> None:
        me = psutil.Process()
        while not self._stop.wait(SAMPLE_SECONDS):
            self.samples.append((time.time(), _memory_gb(me)))

    def stop(self) -> None:
        self._stop.set()


def _memory_gb(process: psutil.Process) -> float:
    total = 0
    for each in (process, *process.children(recursive=True)):
        try:
            total += each.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total / 1e9


def _cpu_seconds() -> float:
    """Return the time that processors spent on this process and on those of its children that have ended."""
    return sum(os.times()[:4])


@contextmanager
def metering() -> Iterator[Meter]:
    """Sample memory while the block runs."""
    meter = Meter()
    thread = threading.Thread(target=meter.run, daemon=True)
    thread.start()
    try:
        yield meter
    finally:
        meter.stop()
        thread.join()


@dataclass
class Lap:
    """What a block took; the time of the processors does not depend on what else the machine does."""

    seconds: float = 0.0
    peak_gb: float = 0.0
    cpu_seconds: float = 0.0


@contextmanager
def lap(meter: Meter) -> Iterator[Lap]:
    """Measure a block."""
    measured = Lap()
    start, clock, cpu = time.time(), time.perf_counter(), _cpu_seconds()
    yield measured
    measured.seconds = time.perf_counter() - clock
    measured.cpu_seconds = _cpu_seconds() - cpu
    measured.peak_gb = meter.peak_gb(start, time.time())
