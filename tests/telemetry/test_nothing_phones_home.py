"""With defaults no socket leaves this machine, and what is set up goes only where it was set to."""

import json
import os
import subprocess
import sys
from pathlib import Path

from forecast_assets.launch import Runner
from tests.support.retailers import copied

# Notes every address that is connected to or sent to, and every name that is looked up.
_WATCHED = """
import json, sys
seen = []
def watch(event, arguments):
    if event in ("socket.connect", "socket.sendto"):
        seen.append(arguments[1])
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        seen.append(arguments[0])
sys.addaudithook(watch)
try:
    {what}
finally:
    print("SEEN" + json.dumps([each if isinstance(each, str) else each[0] for each in map(
        lambda each: each if isinstance(each, (str, tuple, list)) else str(each), seen)]), flush=True)
"""
_RUN = """
    from forecast_assets.cli import main
    for words in (
        ["run", "--cadence", "daily", "--date", "2025-06-30", "--model-version", "stat-1"], ["metrics"],
    ):
        sys.argv = ["forecast-assets", *words]
        main()
"""
_SERVE = """
    import signal, threading, urllib.request
    from forecast_assets.serving.server import ServerOptions, run_server
    from forecast_assets.settings import current_settings
    def echo(words):
        print(words, flush=True)
        if words.startswith("Listening"):
            address = words.split()[2]
            def ask():
                urllib.request.urlopen(address + "/health/live").read()
                signal.raise_signal(signal.SIGINT)
            threading.Thread(target=ask).start()
    run_server(current_settings(), ServerOptions("127.0.0.1", 0, grace_seconds=0), echo)
"""


def seen(home: Path, what: str, **settings: str) -> set[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FORECAST_ASSETS_")}
    environment |= {"FORECAST_ASSETS_HOME": str(home), "FORECAST_ASSETS_MLFLOW": "false"}
    environment |= {f"FORECAST_ASSETS_{name.upper()}": value for name, value in settings.items()}
    done = subprocess.run(
        [sys.executable, "-c", _WATCHED.format(what=what.strip())],
        env=environment, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    line = next((line for line in done.stdout.splitlines() if line.startswith("SEEN")), None)
    assert line is not None, done.stderr
    return {*json.loads(line.removeprefix("SEEN"))}


def is_here(address: str) -> bool:
    return address.startswith("/") or address in {"127.0.0.1", "::1", "localhost", "0.0.0.0", ""}  # noqa: S104


def test_a_run_reaches_no_other_machine(trained: Runner, tmp_path: Path) -> None:
    runner = copied(trained, tmp_path / "home")
    found = seen(runner.settings.home, _RUN)
    assert {address for address in found if not is_here(address)} == set()
    assert Runner(runner.settings).stores.ledger.state().publications


def test_a_service_reaches_no_other_machine(trained: Runner, tmp_path: Path) -> None:
    found = seen(copied(trained, tmp_path / "home").settings.home, _SERVE)
    assert "127.0.0.1" in found, "the watch sees what goes on"
    assert {address for address in found if not is_here(address)} == set()
