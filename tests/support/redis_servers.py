"""Redis servers of tests: private, on free ports of this machine, and what only looks like one."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Thread

from tests.support.mirrors import free_port, require


class PrivateRedis:
    """A server that may be stopped and started again, and forgets everything then."""

    def __init__(self, folder: Path, password: str = "", *, memory_mb: int = 64) -> None:
        self._command = shutil.which("redis-server")
        require(self._command, "Redis (Debian's package redis-server)")
        folder.mkdir(parents=True, exist_ok=True)
        self.port, self._password = free_port(), password
        self._options = ["--bind", "127.0.0.1", "--dir", str(folder), "--save", "", "--appendonly", "no"]
        self._options += ["--port", str(self.port), "--maxmemory", f"{memory_mb}mb"]
        self._options += ["--requirepass", password] if password else []
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://:{self._password}@127.0.0.1:{self.port}" if self._password else self.url_without_password

    @property
    def url_without_password(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._process = subprocess.Popen([str(self._command), *self._options], stdout=subprocess.DEVNULL)
        ends = time.monotonic() + 20
        while time.monotonic() < ends:
            with closing(socket.socket()) as found:
                if found.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.01)
        raise TimeoutError("redis-server did not start")

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(20)
            self._process = None


@contextmanager
def redis_server(folder: Path, password: str = "", *, memory_mb: int = 64) -> Iterator[PrivateRedis]:
    """Run a server until the block ends."""
    server = PrivateRedis(folder, password, memory_mb=memory_mb)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def listener(says: bytes = b"") -> Iterator[str]:
    """Listen where a Redis is looked for, take every connection, and say nothing, or the same to everything."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        taken: list[socket.socket] = []

        def take() -> None:
            try:
                while True:
                    connection, _ = listening.accept()
                    taken.append(connection)
                    if says:
                        connection.sendall(says)
            except OSError:
                return

        thread = Thread(target=take, daemon=True)
        thread.start()
        yield f"redis://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(5)
        for connection in taken:
            connection.close()
