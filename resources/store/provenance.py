"""Which code and which libraries made a number.

What belongs here: versions and fingerprints. What does not: wall-clock time, host names or anything else that would
make equal content look different.
"""

import hashlib
import platform
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Final

import forecast_assets

PACKAGES: Final = ("forecast_assets", "resources", "checks", "partitions")
LIBRARIES: Final = (
    "polars",
    "numpy",
    "pyarrow",
    "scipy",
    "statsforecast",
    "hierarchicalforecast",
    "duckdb",
    "dagster",
)


@cache
def code_version() -> str:
    """Return the release and a fingerprint of the source files, for example ``0.1.0+3f2a9c41d0aa``."""
    root = Path(forecast_assets.__file__).parent.parent
    digest = hashlib.sha256()
    for package in PACKAGES:
        for file in sorted((root / package).rglob("*.py")):
            digest.update(file.relative_to(root).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return f"{forecast_assets.__version__}+{digest.hexdigest()[:12]}"


@cache
def library_versions() -> dict[str, str]:
    """Return the installed versions of the libraries that shape published numbers."""
    return {name: version(name) for name in LIBRARIES}


@cache
def cpu_type() -> str:
    """Return what of the processor may shape the last bits of a number, for example ``x86_64 avx2 fma``.

    Numerical libraries choose their inner loops by these features, and so the order of additions.
    """
    return " ".join((platform.machine(), *sorted(_SIMD & _cpu_flags())))


_SIMD: Final = frozenset(
    {"sse4_2", "avx", "avx2", "fma", "avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_bf16", "asimd", "sve"}
)


def _cpu_flags() -> set[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        # Not Linux: the architecture alone is said.
        return set()
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return set(flags.partition(":")[2].split())
