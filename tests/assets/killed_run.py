"""Run the daily scoring in a process that is killed at its n-th write: `killed_run.py HOME N KEY`."""

import os
import signal
import sys
from pathlib import Path

from forecast_assets.keys import RunKey
from resources.blobs import BlobStore
from tests.assets.conftest import new_runner

written = 0


def main(home: str, kill_at: int, key: str) -> None:
    create, replace = BlobStore.create, BlobStore.replace

    def counted() -> None:
        global written  # noqa: PLW0603
        written += 1
        if written == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def killing_create(self: BlobStore, path: str, data: bytes) -> bool:
        counted()
        done = create(self, path, data)
        counted()
        return done

    def killing_replace(self: BlobStore, path: str, data: bytes) -> None:
        counted()
        replace(self, path, data)

    BlobStore.create, BlobStore.replace = killing_create, killing_replace  # type: ignore[method-assign]
    new_runner(Path(home)).score(RunKey.parse(key))
    print(f"writes: {written}")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
