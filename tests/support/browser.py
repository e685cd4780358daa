"""A headless Chromium that does what a person does: clicks, types, goes back; for tests of pages.

What belongs here: driving it by its own protocol. What does not: what any page has.
"""

import json
import shutil
import subprocess
import time
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

COMMAND = shutil.which("chromium")
_WAITS_SECONDS = 60
# A tablet, lying on its side.
SIZE = (1180, 820)


class Browser:
    """One page of a browser; counts what is done with a mouse or a finger.

    Attributes:
        clicks: Links, buttons and boxes that were clicked, and steps back.
        typed: Fields that were filled in.
        errors: What the console complained about.
    """

    def __init__(self, socket: ClientConnection, session: str) -> None:
        self._socket, self._session, self._numbers = socket, session, count(1)
        self.clicks = self.typed = 0
        self.errors: list[str] = []
        self._loaded = 0
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        width, height = SIZE
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def call(self, method: str, **arguments: Any) -> Any:
        number = next(self._numbers)
        said = {"id": number, "method": method, "params": arguments, "sessionId": self._session}
        self._socket.send(json.dumps(said))
        while True:
            answer = json.loads(self._socket.recv(timeout=_WAITS_SECONDS))
            if answer.get("id") == number:
                assert "error" not in answer, (method, answer)
                return answer["result"]
            self._told(answer)

    def _told(self, event: dict[str, Any]) -> None:
        if event.get("method") == "Page.loadEventFired":
            self._loaded += 1
        elif event.get("method") == "Log.entryAdded" and event["params"]["entry"]["level"] == "error":
            self.errors.append(event["params"]["entry"]["text"])
        elif event.get("method") == "Runtime.exceptionThrown":
            self.errors.append(str(event["params"]["exceptionDetails"]))

    def _wait(self, before: int) -> None:
        ends = time.monotonic() + _WAITS_SECONDS
        while self._loaded == before:
            assert time.monotonic() < ends, "no page was loaded"
            self._told(json.loads(self._socket.recv(timeout=_WAITS_SECONDS)))

    def sign_in(self, authorization: str) -> None:
        self.call("Network.setExtraHTTPHeaders", headers={"Authorization": authorization})

    def open(self, address: str) -> None:
        before = self._loaded
        self.call("Page.navigate", url=address)
        self._wait(before)

    def value(self, script: str) -> Any:
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in found, (script, found)
        return found["result"].get("value")

    def click(self, selector: str, words: str = "", *, loads: bool = True) -> None:
        """Click the first thing of a selector that has some words, where it is on the screen."""
        at = self.value(
            f"""(() => {{ const all = [...document.querySelectorAll({json.dumps(selector)})];
            const one = all.find(each => each.textContent.includes({json.dumps(words)}));
            if (!one) return null; one.scrollIntoView({{block: 'center'}}); const box = one.getBoundingClientRect();
            return [box.x + box.width / 2, box.y + box.height / 2, box.width, box.height] }})()"""
        )
        assert at is not None, f"there is no {selector} with {words!r}: {self.text()[:2_000]}"
        assert at[2] > 0, selector
        before = self._loaded
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=at[0], y=at[1], button="left", clickCount=1)
        self.clicks += 1
        if loads:
            self._wait(before)

    def back(self) -> None:
        before = self._loaded
        self.value("history.back()")
        self.clicks += 1
        self._wait(before)

    def fill(self, selector: str, text: str) -> None:
        """Go to a field and type; of a list, choose."""
        self.value(
            f"""(() => {{ const one = document.querySelector({json.dumps(selector)});
            one.scrollIntoView({{block: 'center'}}); one.focus(); one.value = {json.dumps(text)} }})()"""
        )
        assert self.value(f"document.querySelector({json.dumps(selector)}).value") == text
        self.typed += 1

    def press_tab(self) -> None:
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)

    def text(self) -> str:
        return str(self.value("document.body.innerText"))

    def picture(self, path: Path) -> None:
        found = self.call("Page.captureScreenshot", captureBeyondViewport=True, format="png")
        path.write_bytes(b64decode(found["data"]))


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """Start a browser, and end it; its profile is below a folder."""
    assert COMMAND is not None
    profile = folder / "profile"
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", "--disable-dev-shm-usage",
               "--disable-features=BackForwardCache"]  # fmt: skip
    with subprocess.Popen(
        [COMMAND, *options, f"--user-data-dir={profile}", "about:blank"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        try:
            where = profile / "DevToolsActivePort"
            ends = time.monotonic() + _WAITS_SECONDS
            while not (where.exists() and len(where.read_text().splitlines()) == 2):
                assert time.monotonic() < ends, "the browser does not start"
                time.sleep(0.05)
            port, path = where.read_text().splitlines()
            with connect(f"ws://127.0.0.1:{port}{path}", max_size=None) as socket:
                socket.send(json.dumps({"id": 0, "method": "Target.createTarget", "params": {"url": "about:blank"}}))
                target = _answered(socket, 0)["targetId"]
                attach = {"targetId": target, "flatten": True}
                socket.send(json.dumps({"id": 0, "method": "Target.attachToTarget", "params": attach}))
                yield Browser(socket, _answered(socket, 0)["sessionId"])
        finally:
            process.kill()


def _answered(socket: ClientConnection, number: int) -> Any:
    while True:
        answer = json.loads(socket.recv(timeout=_WAITS_SECONDS))
        if answer.get("id") == number:
            return answer["result"]
