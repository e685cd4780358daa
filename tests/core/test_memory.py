"""Memory as the machine and its container tell it."""

from pathlib import Path

import pytest

from forecast_assets.core.memory import free_memory


@pytest.mark.parametrize(
    ("available", "most", "free"),
    [
        ("3000", "max", 3_072_000),
        ("3000", "1000000", 700_000),
        ("3000", "100000", 0),
        (None, "1000000", 700_000),
        (None, "max", None),
    ],
)
def test_the_fewest_bytes_count(tmp_path: Path, available: str | None, most: str, free: int | None) -> None:
    machine = tmp_path / "meminfo"
    machine.write_text("MemTotal: 9999 kB\n" + (f"MemAvailable:   {available} kB\n" if available else ""))
    (tmp_path / "memory.max").write_text(f"{most}\n")
    (tmp_path / "memory.current").write_text("400000\n")
    (tmp_path / "memory.stat").write_text("anon 300000\ninactive_file 100000\n")
    assert free_memory(machine, tmp_path) == free


def test_a_system_that_does_not_say_is_not_guessed_at(tmp_path: Path) -> None:
    assert free_memory(tmp_path / "none", tmp_path / "none") is None
