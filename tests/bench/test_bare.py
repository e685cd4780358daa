"""What LightGBM takes is measured once, whoever calls it."""

import time
from threading import Barrier, Thread

import lightgbm
import pytest

from bench.bare import boosting_timed

PAUSE = 0.05


def test_calls_of_several_threads_at_once_count_once_and_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first call begins alone and ends while the second goes on."""
    both_in = Barrier(2, timeout=30)

    def predict(_booster: object, place: int) -> None:
        time.sleep(PAUSE * (1 - place))
        both_in.wait()
        time.sleep(PAUSE * place)

    monkeypatch.setattr(lightgbm.Booster, "predict", predict)
    began = time.perf_counter()
    with boosting_timed() as spent:
        threads = [Thread(target=lightgbm.Booster.predict, args=(None, place)) for place in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert 2 * PAUSE <= spent.seconds <= time.perf_counter() - began
