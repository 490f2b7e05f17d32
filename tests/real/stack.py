"""Starts and ends what the tests talk to: two model servers, a simulated provider, the gateway.

Every process gets its own group and is ended with it, also when the tests are interrupted.
"""

import atexit
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
CLIENT_KEY = "test-key-that-may-call-everything"
NARROW_KEY = "test-key-for-the-small-model-only"
LIMITED_KEY = "test-key-of-two-requests-a-minute"
BUDGET_KEY = "test-key-with-very-little-money"
START_SECONDS = 60.0
# what has to be ended, however the tests end
RUNNING: list["Program"] = []


class Program:
    """One running program; its output goes to a file, which is shown when it fails."""

    def __init__(self, name: str, command: list[str], folder: Path, env: dict[str, str]):
        self.name = name
        self.log = folder / f"{name}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env=os.environ | env,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        RUNNING.append(self)

    def wait_for(self, what: str, ready) -> str:
        """Polls until `ready()` gives a value; gives up when the program has ended or hangs."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended early:\n{self.tail()}")
            if found := ready():
                return found
            time.sleep(0.05)
        raise RuntimeError(f"{self.name}: {what} took over {START_SECONDS:.0f} s:\n{self.tail()}")

    def stop(self, seconds: float = 10.0) -> int | None:
        """Asks it to end and tells its exit code; `None`: it had to be killed."""
        if self.process.stdin:
            self.process.stdin.close()
        self.process.terminate()
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        finally:
            self.kill()

    def kill(self) -> None:
        """Ends the whole group, whatever state it is in."""
        if self not in RUNNING:
            return
        RUNNING.remove(self)
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()

    def tail(self, lines: int = 30) -> str:
        """The end of its output."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


class Stack:
    """The programs, and the addresses that the tests need."""

    def __init__(self, tollgate: str):
        atexit.register(kill_all)
        signal.signal(signal.SIGTERM, end_at_once)
        self._folder = tempfile.TemporaryDirectory(prefix="tollgate-real-")
        folder = Path(self._folder.name)

        model = [sys.executable, str(HERE / "model-server.py")]
        self.model = Program("model", model, folder, {})
        self.embedder = Program("embedder", [*model, "--embeds"], folder, {})
        self.model_url = loaded(self.model)

        sim = f"127.0.0.1:{free_port()}"
        self.sim = Program("simulate", [tollgate, "simulate", "--listen", sim], folder, {})
        self.sim.wait_for("listening", lambda: accepts(sim))

        listen, admin = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        self.url, self.admin_url = f"http://{listen}", f"http://{admin}"
        serve = [tollgate, "serve", "--config", str(HERE / "gateway.yaml")]
        serve += ["--listen", listen, "--admin-listen", admin]
        env = {
            "MODEL_URL": self.model_url,
            "EMBED_URL": loaded(self.embedder),
            "SIM_URL": f"http://{sim}",
            "CLIENT_KEY": CLIENT_KEY,
            "NARROW_KEY": NARROW_KEY,
            "LIMITED_KEY": LIMITED_KEY,
            "BUDGET_KEY": BUDGET_KEY,
        }
        self.gateway = Program("gateway", serve, folder, env)
        self.gateway.wait_for("/readyz", lambda: status(f"{self.url}/readyz") == 200)

    def stop(self) -> int | None:
        """Ends all; tells the gateway's exit code."""
        code = self.gateway.stop()
        self.sim.stop()
        self.model.stop()
        self.embedder.stop()
        self._folder.cleanup()
        return code

    def generating(self) -> int:
        """How many requests the model is working on, asked of the model server itself."""
        slots = json.loads(get(f"{self.model_url}/slots"))
        return sum(slot["is_processing"] for slot in slots)

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's series that carry all these labels."""
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        lines = get(f"{self.admin_url}/metrics").splitlines()
        series = [line for line in lines if line.startswith((f"{name}{{", f"{name} "))]
        return sum(
            float(line.rsplit(" ", 1)[1]) for line in series if all(w in line for w in wanted)
        )


def loaded(server: Program) -> str:
    """The address of a model server, once it has its model."""
    return server.wait_for("loading the model", lambda: ready_line(server.log))


def kill_all() -> None:
    """Ends every program that was started."""
    for program in list(RUNNING):
        program.kill()


def end_at_once(*_) -> None:
    """A test run that is told to end leaves nothing behind; a test runner would catch an exception."""
    kill_all()
    os._exit(143)


def free_port() -> int:
    """A port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ready_line(log: Path) -> str:
    """The address that the model server prints when it can be asked; empty until then."""
    for line in log.read_text(errors="replace").splitlines():
        if line.startswith("READY "):
            return line.removeprefix("READY ")
    return ""


def accepts(address: str) -> bool:
    """Does somebody listen there?"""
    host, port = address.rsplit(":", 1)
    try:
        with socket.create_connection((host, int(port)), timeout=1):
            return True
    except OSError:
        return False


def status(url: str) -> int:
    """The status of a GET; 0 when nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def get(url: str, headers: dict[str, str] | None = None) -> str:
    """The body of a GET."""
    request = urllib.request.Request(url, headers=headers or {})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.read().decode()
