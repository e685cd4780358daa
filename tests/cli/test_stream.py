"""The commands of the stream as processes, over TCP: they answer, ingest, and end when they are told to."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from forecast_assets.cli import cli
from forecast_assets.core.errors import InputError
from forecast_assets.settings import Settings
from resources.broker.broker import BrokerMessage
from resources.broker.kafka import KafkaBroker
from resources.operational.api_keys import ApiKeys
from resources.stores.home import open_stores
from tests.support.brokers import QUICK, kafka_cluster
from tests.support.small_home import small_stores
from tests.support.stream_calls import StreamCaller, read_body

COMMAND = str(Path(sys.executable).with_name("forecast-assets"))


@contextmanager
def reading(home: Path, servers: str, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """Run a command of the stream until the block ends; it has begun to read."""
    environment = {
        **os.environ, "FORECAST_ASSETS_HOME": str(home), "FORECAST_ASSETS_BROKER": servers,
        "FORECAST_ASSETS_TOPIC_PREFIX": "t", "FORECAST_ASSETS_MLFLOW": "false",
    }  # fmt: skip
    with subprocess.Popen(
        [COMMAND, "stream", *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as process:
        try:
            assert process.stdout is not None
            assert "Stop with Ctrl-C." in process.stdout.readline()
            yield process
        finally:
            process.kill()


def ended(process: "subprocess.Popen[str]") -> str:
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return said


def test_requests_are_answered_and_observations_ingested_until_it_is_told_to_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    small_stores(home / "store")
    keys = ApiKeys(Settings(home=home).operational_path)
    key = keys.create("tests", "reader", now=datetime.now(UTC), valid_for=timedelta(days=1))[1]
    with kafka_cluster() as servers:
        broker = KafkaBroker(servers, QUICK)
        caller = StreamCaller(broker, key)
        caller.send(BrokerMessage("t.requests", "k", b"nonsense", {"from": "nobody"}))
        with reading(home, servers, "serve") as process:
            answer = caller.ask("forecasts", {"channel": "champion", "limit": 1}, "e-1")
            assert len(read_body(answer)["rows"]) == 1
            caller.letters(1)
            assert ended(process).strip() == "1 answer, 1 dead letter."
        row = b'{"sku_id": "A", "store_id": "S", "event_date": "2025-02-01", "sales_units": 4}'
        broker.publish([BrokerMessage("t.observations.sales", "S", row + b"\n{}")])
        before = open_stores(home / "store").ledger.state().sequence
        with reading(home, servers, "ingest", "--source", "pos", "--feed", "sales", "--seconds", "0.2") as process:
            caller.letters(2)
            assert process.stdout is not None
            assert process.stdout.readline().startswith(
                f"1 message, 2 records: ledger entry {before + 1}; 1 dead letter: "
            )
            ended(process)
        caller.close()
        broker.close()
    monkeypatch.setenv("FORECAST_ASSETS_HOME", str(home))
    listed = CliRunner().invoke(cli, ["stream", "dead-letters", "list"]).output
    assert "2 dead letters." in listed
    assert "t.observations.sales" in listed
    shown = CliRunner().invoke(cli, ["stream", "dead-letters", "show", "1"]).output
    assert "nonsense" in shown
    assert "from: nobody" in shown


def test_without_a_broker_it_says_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORECAST_ASSETS_HOME", str(tmp_path))
    for command in (["serve"], ["ingest", "--source", "pos"]):
        result = CliRunner().invoke(cli, ["stream", *command])
        assert isinstance(result.exception, InputError)
        assert "FORECAST_ASSETS_BROKER" in str(result.exception)
    assert (
        "No message of the stream was left over." in CliRunner().invoke(cli, ["stream", "dead-letters", "list"]).output
    )
    assert isinstance(CliRunner().invoke(cli, ["stream", "dead-letters", "show", "5"]).exception, InputError)
