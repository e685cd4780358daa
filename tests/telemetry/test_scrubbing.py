"""Planted secrets and names of people do not come out, wherever they were put; ordinary lines come out as they were."""

import io
import json
import logging
from typing import Any

import pytest

from forecast_assets.core.log_context import bound
from forecast_assets.telemetry.logs import start_logs
from forecast_assets.telemetry.scrubbing import scrubbed, scrubbed_text

PLANT = "Zq7-planted_9f"
KEY = "fak_938fa06073b6_" + PLANT
PLANTED = [
    f"postgresql://ana:{PLANT}@db.shop.example:5432/events",
    f"redis://:{PLANT}@cache:6379/0",
    f"https://ana:{PLANT}/x@collector/v1",
    f"amqp://u:a@{PLANT}@broker",
    f"Authorization: Bearer {PLANT}",
    f"authorization: Basic {PLANT}==",
    f"{{'Authorization': 'Bearer {PLANT}', 'x': 1}}",
    f"(b'authorization', b'Bearer {PLANT}')",
    f"curl -H 'Authorization: Bearer {KEY}'",
    f"key {KEY} is nobody's",
    f"password={PLANT} host=db",
    f"PGPASSWORD={PLANT}",
    f'{{"password": "{PLANT} with blanks"}}',
    f"sasl.password={PLANT}",
    f"AWS_SECRET_ACCESS_KEY={PLANT}",
    f"GET /x?api_key={PLANT}&limit=1",
    f"GET /x?access_token={PLANT}",
    f"client_secret: {PLANT}",
    f"Cookie: session={PLANT}",
    f"X-Amz-Signature={PLANT}",
    f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbmEifQ.{PLANT}",
    f"-----BEGIN RSA PRIVATE KEY-----\n{PLANT}\n-----END RSA PRIVATE KEY-----",
    f"written by {PLANT}@shop.example today",
]
ORDINARY = [
    "GET /v1/forecasts 200 in 3.1 ms (request 8ccf38e4-0b40-447c-b652-76f81a5d488d, key 938fa06073b6, problem -)",
    "daily/2025-06-30/stat-1/28/r0/FOOD-0001/S-01/7 by the key of its series",
    "Redis at 127.0.0.1:6379 does not answer (ConnectionError): going on without it",
    "s3://bucket/prefix cannot be read, see https://docs.example/page#part",
    "37 tokens, 12 keys, basic demand",
]


@pytest.mark.parametrize("text", PLANTED)
def test_a_planted_secret_is_taken_out_of_a_text(text: str) -> None:
    assert PLANT not in scrubbed_text(text)


@pytest.mark.parametrize("text", ORDINARY)
def test_an_ordinary_text_stays_as_it_is(text: str) -> None:
    assert scrubbed_text(text) == text


def test_values_are_scrubbed_by_what_they_are_called_however_deep() -> None:
    planted = {
        "run": "daily/2025-06-30/stat-1/28/r0",
        "rows": 3,
        "caller_name": "Ana Silva",
        "headers": [{"Authorization": PLANT}, ("x-api-key", f"api_key={PLANT}")],
        "deep": {"a": {"b": {"db_password": PLANT, "units": 1.5}}},
        PLANT + "@shop.example": 1,
        "raw": f"token={PLANT}".encode(),
    }
    found = scrubbed(planted)
    assert PLANT not in json.dumps(found)
    assert "Silva" not in json.dumps(found)
    assert (found["run"], found["rows"]) == (planted["run"], 3)
    assert found["deep"]["a"]["b"] == {"db_password": "[gone]", "units": 1.5}


class Talkative(Exception):  # noqa: N818 - its words matter, not its name
    """Says what it should not."""


def fail(text: str) -> None:
    raise ValueError(f"then {text}") from Talkative(text)


def logged(log_format: str, log: Any) -> str:
    """Return what a logger writes in a format."""
    stream, root = io.StringIO(), logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        start_logs(log_format, logging.INFO, stream)
        log(logging.getLogger("tests.planted"))
    finally:
        root.handlers[:] = before
        root.setLevel(level)
    return stream.getvalue()


@pytest.mark.parametrize("log_format", ["console", "json"])
@pytest.mark.parametrize("text", PLANTED)
def test_a_planted_secret_is_in_no_line_message_argument_field_or_traceback(log_format: str, text: str) -> None:
    def log(logger: logging.Logger) -> None:
        logger.warning(text)
        logger.warning("%s failed for %r", text, {"deep": [text]})
        logger.warning("fields", extra={"request": {"headers": {"authorization": PLANT}, "said": [text]}})
        try:
            fail(text)
        except ValueError:
            logger.exception("failed")
        with bound(said=text):
            logger.info("bound")

    written = logged(log_format, log)
    assert PLANT not in written
    assert "Talkative" in written


def test_lines_of_json_say_where_when_and_what_they_are_about() -> None:
    def log(logger: logging.Logger) -> None:
        with bound(request_id="visit-17"):
            logger.warning("%d rows", 3, extra={"status": 200})

    line = json.loads(logged("json", log))
    at = line.pop("at")
    assert at.endswith("Z")
    assert line == {
        "event": "3 rows", "status": 200, "level": "warning", "logger": "tests.planted", "request_id": "visit-17",
    }  # fmt: skip


def test_a_line_for_people_is_a_time_and_the_message() -> None:
    written = logged("console", lambda logger: logger.warning("%d rows", 3))
    assert written.rstrip().endswith(" 3 rows")
    assert len(written.splitlines()) == 1
