"""Files that take their names together, one process after the other."""

import fcntl
import os
from pathlib import Path
from threading import Event, Thread

from forecast_assets.operations.new_files import whole_files


def test_another_process_that_names_its_files_is_waited_for(tmp_path: Path) -> None:
    outs, is_written = [tmp_path / name for name in "ab"], Event()

    def write() -> None:
        with whole_files(outs, overwrite=True) as scratches:
            for scratch in scratches:
                scratch.write_text("new")
            is_written.set()

    lock = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    writer = Thread(target=write)
    writer.start()
    assert is_written.wait(10)
    writer.join(0.2)
    assert writer.is_alive()
    assert not any(out.exists() for out in outs)
    os.close(lock)
    writer.join(10)
    assert [out.read_text() for out in outs] == ["new", "new"]
