"""Correct a run in a process that is killed when it would commit: `killed_correction.py HOME KEY`."""

import os
import signal
import sys
from pathlib import Path

from forecast_assets.core.keys import RunKey
from resources.store.blobs import BlobStore
from tests.support.retailers import new_runner


def main(home: str, key: str) -> None:
    create = BlobStore.create

    def killing_create(self: BlobStore, path: str, data: bytes) -> bool:
        if path.startswith("ledger/"):
            os.kill(os.getpid(), signal.SIGKILL)
        return create(self, path, data)

    BlobStore.create = killing_create  # type: ignore[method-assign]
    new_runner(Path(home)).correct(RunKey.parse(key), by="ana", reason="the till sent it again")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
