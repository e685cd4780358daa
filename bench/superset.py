"""Apache Superset on a catalogue: whether its charts show what DuckDB answers, how long they take, and what they show
while a run is published.

Installs Superset into an environment of its own, serves it on 127.0.0.1 with a database and an administrator of its
own, has it import the dashboard of `docs/bi` by its REST API, asks every chart, and compares each value with DuckDB's
answer to a query that was written by hand. With `--publish` it works on a copy of the home, publishes a revision there
while a chart is asked again and again, and asks all charts once more. Exits with 1 where anything differs.

    python -m bench.superset --home var                         # ask every chart once
    python -m bench.superset --publish --environment .venv-superset
    python -m bench.superset --serve                            # and leave it open, to look at: Ctrl-C ends it
    python -m bench.superset --zip dashboard.zip                # only what a Superset of one's own imports
"""

import argparse
import io
import math
import os
import re
import secrets
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import venv
import zipfile
from base64 import b64decode
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import duckdb
import httpx
import yaml

from forecast_assets.core.keys import RunKey
from forecast_assets.presentation.text import table
from forecast_assets.settings import Settings

DASHBOARD: Final = Path(__file__).parents[1] / "docs/bi"
# Superset 6.1.0 cannot use the newest releases of two libraries, and imports two others that it does not ask for.
REQUIREMENTS: Final = (
    "apache-superset==6.1.0", "Flask-Caching<2.4", "Flask-Limiter<4", "rich", "cachetools",
    *(f"{name}=={version(name)}" for name in ("duckdb", "duckdb-engine")),
)  # fmt: skip
# What the files of the dashboard name, for another home, version, day or horizon to take the place of.
SAVED: Final = RunKey("daily", date(2025, 6, 30), "stat-1", 28)
SAVED_HOME: Final = "/PATH/OF/HOME"
ASKED: Final = 5
WATCHED: Final = "Revisions of the run"
_NEWEST: Final = """
    AND revision = (SELECT max(revision) FROM audit.publications
        WHERE publication_key LIKE '{cadence}/{prediction_date}/{model_version}/{horizon}/%')"""
_OF_THE_RUN: Final = "prediction_date = DATE '{prediction_date}' AND forecast_horizon = {horizon}"
BY_HAND: Final[Mapping[str, str]] = {
    "Demand by store": f"""SELECT store_id, sum(forecast_units) FROM "{{model_version}}".forecasts
        WHERE {_OF_THE_RUN} {_NEWEST} GROUP BY store_id ORDER BY store_id""",  # noqa: S608
    WATCHED: f"""SELECT revision, sum(forecast_units), count(*) FROM "{{model_version}}".forecasts
        WHERE {_OF_THE_RUN} GROUP BY revision ORDER BY revision""",  # noqa: S608
    "Top stock-out risks of the first week": f"""
        SELECT store_id, sku_id, sum(expected_lost_units) AS lost, max(stockout_probability)
        FROM "{{model_version}}".stockout_risks WHERE {_OF_THE_RUN} AND step <= 7 {_NEWEST}
        GROUP BY store_id, sku_id ORDER BY lost DESC, store_id, sku_id LIMIT 20""",  # noqa: S608
}  # fmt: skip
CONFIGURATION: Final = """\
SECRET_KEY = {secret!r}
SQLALCHEMY_DATABASE_URI = "sqlite:///{folder}/superset.db"
# On this machine alone, without TLS before it; nothing is fetched from elsewhere, no use is reported.
TALISMAN_ENABLED = False
RATELIMIT_ENABLED = False
"""

# Whether a browser shows bars and both tables.
DRAWN: Final = "document.querySelector('canvas') !== null && document.querySelectorAll('tbody tr').length > 20"

Row = tuple[Any, ...]


@dataclass(frozen=True)
class Answer:
    """What a chart was told, and how long it took in seconds: by Superset, and by DuckDB from connecting on."""

    chart: str
    moment: str
    rows: list[Row]
    expected: list[Row]
    by_superset: float
    by_duckdb: float

    @property
    def same(self) -> bool:
        return bool(self.rows) and self.rows == self.expected


class Superset:
    """A client of Superset's REST API, signed in."""

    def __init__(self, address: str, password: str) -> None:
        self.address = address
        self._client = httpx.Client(base_url=f"{address}/api/v1", timeout=120, headers={"Referer": address})
        credentials = {"username": "admin", "password": password, "provider": "db"}
        token = self._told(self._client.post("/security/login", json=credentials))["access_token"]
        self._client.headers["Authorization"] = f"Bearer {token}"
        self._client.headers["X-CSRFToken"] = self._told(self._client.get("/security/csrf_token/"))["result"]

    def import_dashboard(self, bundle: bytes) -> dict[str, int]:
        """Import a dashboard, and return its charts: their numbers by name."""
        files = {"formData": ("dashboard.zip", bundle, "application/zip")}
        self._told(self._client.post("/dashboard/import/", files=files, data={"overwrite": "true"}))
        return {each["slice_name"]: each["id"] for each in self._told(self._client.get("/chart/"))["result"]}

    def ask(self, chart: int) -> list[Row]:
        """Return the rows of a chart, by its own saved query, not from a cache."""
        (result,) = self._told(self._client.get(f"/chart/{chart}/data/", params={"force": "true"}))["result"]
        return plain([tuple(row[name] for name in result["colnames"]) for row in result["data"]])

    @staticmethod
    def _told(response: httpx.Response) -> Any:
        if response.is_error:
            raise SystemExit(f"error: Superset answered {response.status_code}: {response.text[:2_000]}")
        return response.json()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, help="home with a published run; default: FORECAST_ASSETS_HOME, or var")
    parser.add_argument(
        "--date", type=date.fromisoformat, default=SAVED.prediction_date, help="of the run: %(default)s"
    )
    parser.add_argument("--model-version", default=SAVED.model_version, help="of the run: %(default)s")
    parser.add_argument("--horizon", type=int, default=SAVED.forecast_horizon, help="of the run: %(default)s")
    parser.add_argument(
        "--environment", type=Path, help="folder of Superset's environment, made once (0.9 GB); default: temporary"
    )
    parser.add_argument(
        "--publish", action="store_true", help="publish a revision in a copy of the home, and ask again"
    )
    parser.add_argument("--serve", action="store_true", help="leave Superset open at the end")
    parser.add_argument("--picture", type=Path, help="take a picture of the dashboard: FILE.png (needs chromium)")
    parser.add_argument("--zip", type=Path, help="write the dashboard for this home to a new file, and do nothing else")
    given = parser.parse_args()
    run = RunKey("daily", given.date, given.model_version, given.horizon)
    home = (given.home or Settings().home).resolve()
    if not (home / "catalogue/catalogue.duckdb").exists():
        parser.error(f"There is no catalogue in {home}: make one with `forecast-assets demo`, or name another --home.")
    if given.zip:
        with given.zip.open("xb") as file:
            file.write(bundle(home, run))
        print(f"Wrote {given.zip}. In Superset: Dashboards, Import dashboard.")
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        if given.publish:
            home = copied(home, Path(scratch) / "home")
        programs = environment((given.environment or Path(scratch) / "environment").resolve())
        with serving(programs, Path(scratch) / "superset") as (address, password):
            answers = asked(Superset(address, password), home, run, publish=given.publish)
            print(answers_table(answers), flush=True)
            if given.picture:
                take_picture(address, password, given.picture, Path(scratch))
            if given.serve:
                print(
                    f"Look at {address}/superset/dashboard/forecast-assets/ as admin, {password}. Ctrl-C ends it.",
                    flush=True,
                )
                with suppress(KeyboardInterrupt):
                    threading.Event().wait()
            return int(not all(each.same for each in answers))


def asked(superset: Superset, home: Path, run: RunKey, *, publish: bool) -> list[Answer]:
    """Import the dashboard and ask its charts, before, while and after a revision is published if that is wanted."""
    file = (home / "catalogue/catalogue.duckdb").resolve()
    bytes_before = sha256(file.read_bytes()).hexdigest()
    charts, seconds = timed(superset.import_dashboard, bundle(home, run))
    print(f"Imported the dashboard with {len(charts)} charts in {seconds:.1f} s.", flush=True)
    if charts.keys() != BY_HAND.keys():
        raise SystemExit(f"error: imported {sorted(charts)} instead of {sorted(BY_HAND)}")
    answers = [answer(superset, home, run, chart, number, "at first") for chart, number in charts.items()]
    if publish:
        told = while_publishing(superset, charts[WATCHED], home, run)
        answers += [answer(superset, home, run, chart, number, "after") for chart, number in charts.items()]
        before, after = (next(each.rows for each in answers if (each.chart, each.moment) == (WATCHED, when))
                         for when in ("at first", "after"))  # fmt: skip
        moved = next((place for place, rows in enumerate(told) if rows != before), len(told))
        print(f"While a revision was published {len(told)} questions were answered: {moved} as before it, "
              f"{len(told) - moved} as after it.")  # fmt: skip
        if before == after or any(rows != after for rows in told[moved:]):
            raise SystemExit("error: the chart did not move from what it showed before to what it shows after, once")
    if file.exists() and sha256(file.read_bytes()).hexdigest() != bytes_before:
        raise SystemExit(f"error: {file} has other bytes than before: Superset wrote into it")
    return answers


def answer(superset: Superset, home: Path, run: RunKey, chart: str, number: int, moment: str) -> Answer:
    replies = [timed(superset.ask, number) for _ in range(ASKED)]
    expected, by_duckdb = timed(by_hand, home, run, chart)
    rows = next((rows for rows, _ in replies if rows != expected), replies[0][0])
    return Answer(chart, moment, rows, expected, statistics.median(seconds for _, seconds in replies), by_duckdb)


def by_hand(home: Path, run: RunKey, chart: str) -> list[Row]:
    """Return what DuckDB itself answers to the query of a chart."""
    query = BY_HAND[chart].format(
        cadence=run.cadence, prediction_date=run.prediction_date, model_version=run.model_version,
        horizon=run.forecast_horizon,
    )  # fmt: skip
    with duckdb.connect(home / "catalogue/catalogue.duckdb", read_only=True) as connection:
        return plain(connection.execute(query).fetchall())


def plain(rows: Sequence[Row]) -> list[Row]:
    """Return rows with numbers as millionths, as products hold them: JSON has them as binary fractions."""
    return [
        tuple(value if isinstance(value, str | int) else round(Decimal(str(value)), 6) for value in row) for row in rows
    ]


def while_publishing(superset: Superset, chart: int, home: Path, run: RunKey) -> list[list[Row]]:
    """Publish a revision, and return what a chart showed meanwhile, in order."""
    ended = threading.Event()

    def watch() -> list[list[Row]]:
        told = []
        while not ended.is_set():
            told.append(superset.ask(chart))
        return told

    with ThreadPoolExecutor(1) as pool:
        watched = pool.submit(watch)
        try:
            store = by_hand(home, run, "Demand by store")[0][0]
            days = [str(run.prediction_date + timedelta(days=step)) for step in (1, run.forecast_horizon)]
            command(home, "overrides", "add", "--store", store, "--from", days[0], "--to", days[1], "--percent", "10",
                    "--reason", "event", "--by", "bench", "--confirm")  # fmt: skip
            _, seconds = timed(
                command, home, "overrides", "publish", "--by", "bench", "--reason", "to see it in Superset"
            )
            print(f"Published a revision in {seconds:.1f} s, with {store} 10% higher.", flush=True)
        finally:
            ended.set()
        return watched.result()


def copied(home: Path, to: Path) -> Path:
    """Copy a home. Views name files by their whole paths, so the copy's catalogue is built again."""
    shutil.copytree(home, to, symlinks=True)
    command(to, "catalogue")
    return to


def command(home: Path, *arguments: str) -> None:
    settings = {**os.environ, "FORECAST_ASSETS_HOME": str(home)}
    called("forecast-assets", [str(Path(sys.executable).with_name("forecast-assets")), *arguments], settings)


def called(name: str, arguments: Sequence[str], settings: Mapping[str, str]) -> None:
    done = subprocess.run(arguments, env=settings, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"error: {name} ended with {done.returncode}:\n{(done.stdout + done.stderr)[-3_000:]}")


def bundle(home: Path, run: RunKey) -> bytes:
    """Return the dashboard as Superset imports it, with the home's catalogue and a run's version, day and horizon."""
    instead = {
        SAVED_HOME: str(home),
        SAVED.model_version: run.model_version,
        str(SAVED.prediction_date): str(run.prediction_date),
        f"forecast_horizon = {SAVED.forecast_horizon}": f"forecast_horizon = {run.forecast_horizon}",
    }
    every = re.compile("|".join(map(re.escape, instead)))
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(DASHBOARD.rglob("*.yaml")):
            # Superset's files break lines within texts.
            text = yaml.safe_dump(yaml.safe_load(path.read_text()), sort_keys=False, allow_unicode=True, width=math.inf)
            text = every.sub(lambda found: instead[found.group()], text)
            archive.writestr(f"dashboard/{path.relative_to(DASHBOARD).as_posix()}", text)
    return content.getvalue()


def environment(folder: Path) -> Path:
    """Return where programs of Superset's environment are; make it if it is not there, or is of other requirements."""
    ready, wanted = folder / ".ready", "\n".join(REQUIREMENTS)
    if not (ready.exists() and ready.read_text() == wanted):
        print(f"Installing {REQUIREMENTS[0]} into {folder} (once)", flush=True)
        venv.create(folder, with_pip=True, clear=True)
        pip = [str(folder / "bin/python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _, seconds = timed(called, "pip", [*pip, *REQUIREMENTS], outside())
        ready.write_text(wanted)
        print(f"Installed in {seconds:.0f} s.", flush=True)
    return folder / "bin"


def outside(**settings: str) -> dict[str, str]:
    """Return this process's settings for programs of another environment."""
    return {**{name: value for name, value in os.environ.items() if name != "PYTHONPATH"}, **settings}


@contextmanager
def serving(programs: Path, folder: Path) -> Iterator[tuple[str, str]]:
    """Serve a Superset with a database of its own; yield its address and the password of `admin`."""
    folder.mkdir()
    configuration, password = folder / "superset_config.py", secrets.token_urlsafe(12)
    configuration.write_text(CONFIGURATION.format(secret=secrets.token_hex(32), folder=folder))
    settings = outside(
        SUPERSET_CONFIG_PATH=str(configuration), SUPERSET_HOME=str(folder), FLASK_APP="superset.app",
        SCARF_ANALYTICS="false", PYTHONWARNINGS="ignore",
    )  # fmt: skip
    started = time.perf_counter()
    own = [
        "fab", "create-admin", "--username", "admin", "--firstname", "Ana", "--lastname", "Admin",
        "--email", "admin@localhost", "--password", password,
    ]  # fmt: skip
    for arguments in (["db", "upgrade"], own, ["init"]):
        called("superset", [str(programs / "superset"), *arguments], settings)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = [str(programs / "gunicorn"), "--no-control-socket", "--workers", "1", "--threads", "4", "--timeout", "120",
              "--bind", f"127.0.0.1:{port}", "superset.app:create_app()"]  # fmt: skip
    log = folder / "server.log"
    with log.open("w") as out, subprocess.Popen(server, env=settings, stdout=out, stderr=out, cwd=folder) as process:
        try:
            address = f"http://127.0.0.1:{port}"
            until_answers(address, process, log)
            print(f"Superset answers, {time.perf_counter() - started:.0f} s after its database was begun.", flush=True)
            yield address, password
        finally:
            process.terminate()


def until_answers(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(240):
        if process.poll() is not None:
            break
        try:
            if httpx.get(f"{address}/health").is_success:
                return
        except httpx.TransportError:
            time.sleep(0.5)
    raise SystemExit(f"error: Superset does not start:\n{log.read_text()[-3_000:]}")


def timed(function: Any, *arguments: Any) -> tuple[Any, float]:
    started = time.perf_counter()
    return function(*arguments), time.perf_counter() - started


def answers_table(answers: Sequence[Answer]) -> str:
    return table(
        ("chart", "asked", "rows", "first row", "Superset, s", "DuckDB, s", "same"),
        [
            (each.chart, each.moment, len(each.rows), ", ".join(map(str, *each.rows[:1])) if each.rows else "",
             f"{each.by_superset:.3f}", f"{each.by_duckdb:.3f}", "yes" if each.same else "NO")
            for each in answers
        ],
    )  # fmt: skip


def take_picture(address: str, password: str, path: Path, scratch: Path) -> None:
    """Take a picture of the dashboard, as a headless Chromium shows it to somebody who has signed in."""
    from tests.support.browser import browser

    with httpx.Client(base_url=address, follow_redirects=True, timeout=60) as client:
        (token,) = re.findall(
            r'csrf_token[^>]*?value="([^"]+)"|csrf_token&#34;: &#34;(.*?)&#34;', client.get("/login/").text
        )[:1]
        form = {"username": "admin", "password": password, "csrf_token": "".join(token)}
        client.post("/login/", data=form).raise_for_status()
        session = client.cookies["session"]
    with browser(scratch) as page:
        page.call("Network.setCookie", name="session", value=session, url=address)
        # Superset draws what is in the window alone, so the window is as high as the dashboard.
        page.call("Emulation.setDeviceMetricsOverride", width=1280, height=1210, deviceScaleFactor=1, mobile=False)
        page.open(f"{address}/superset/dashboard/forecast-assets/?standalone=1")
        ends = time.monotonic() + 60
        while not page.value(DRAWN):
            if time.monotonic() > ends:
                raise SystemExit(f"error: the dashboard was not drawn within a minute: {page.text()[:500]}")
            time.sleep(0.5)
        # Bars grow to their height.
        time.sleep(3)
        path.write_bytes(b64decode(page.call("Page.captureScreenshot", format="png")["data"]))


if __name__ == "__main__":
    sys.exit(main())
