"""A gateway in front of simulated providers, and requests that give every metric something to
count: streams, failures, fallbacks, time limits, refusals, limits, budgets, calls without a price."""

import http.client
import json
import socket
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "real"))
from panels import announced
from stack import Program, accepts, free_port, get, status

ADMIN_KEY = "admin-key-of-the-deploy-test"
KEYS = {name: f"client-key-of-{name}-for-the-test" for name in ["team-a", "team-b", "team-c", "hasty"]}
PRICE = {"input": "30", "output": "60", "cache_read": "3"}

# name, backends as (provider, the simulator's script), price, more
MODELS = [
    (
        "cheap",
        [("pool", "cheap+out=40+gap=2ms+ttft=5ms+cached=4")],
        None,
        {"quality": {"default": 0.6}},
    ),
    (
        "dear",
        [("host", "dear+out=60+gap=1ms+reasoning=30")],
        PRICE,
        {"quality": {"default": 0.9}, "caps": ["streaming", "tools"], "context": 128000},
    ),
    ("failing", [("host", "failing+fault=status:500")], PRICE, {}),
    ("flaky", [("host", "flaky+fault=status:503+every=3"), ("spare", "flaky+out=20")], PRICE, {}),
    ("broke", [("host", "broke+fault=status+body=money")], PRICE, {}),
    ("gone", [("dead", "gone")], PRICE, {}),
    ("hanging", [("host", "hanging+fault=hang+every=2")], PRICE, {}),
    ("cut", [("host", "cut+out=30+fault=cut:3+every=2")], PRICE, {}),
    ("slow", [("pool", "slow+out=300+gap=20ms")], None, {}),
    (
        "steady",
        [("pool", "steady+out=8000+gap=50ms")],
        None,
        {"max_output": 8000, "context": 16384},
    ),
    ("unpriced", [("spare", "unpriced+out=20")], None, {}),
    ("silent", [("spare", "silent+usage=none+out=20")], PRICE, {}),
    ("charged", [("spare", "charged+out=20+cost=0.01")], PRICE, {}),
    ("hurried", [("spare", "hurried+out=20+tier=priority")], PRICE, {}),
    ("contradictory", [("spare", "contradictory+usage=bad+out=20")], PRICE, {}),
    (
        "no-tools",
        [("spare", "no-tools+fault=status+body=tools")],
        {"input": "1", "output": "1"},
        {"caps": ["streaming", "tools"]},
    ),
]
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
SECONDS_BETWEEN_ROUNDS = 1.0


def configuration(simulator: str, dead: str) -> dict:
    """The gateway's configuration; JSON is YAML."""
    providers = {
        name: {"base_url": f"{simulator}/p/{name}/v1"} for name in ["host", "spare", "pool"]
    }
    providers["pool"]["self_hosted"] = {
        "gpu_hour": "0.36",
        "gpus": 1,
        "prefill_tps": 1000,
        "decode_tps": 100,
    }
    providers["host"]["api_keys"] = ["simulated-key-one", "simulated-key-two"]
    providers["dead"] = {"base_url": f"{dead}/v1"}
    keys = [{"id": name, "key": key} for name, key in KEYS.items()]
    keys[3]["limits"] = {"rpm": 6}
    # budgets are written as soon as the program knows them: one that lasts, and one that does not.
    # team-c has none, as who has one is never sent to a backend without a price
    if "tollgate_budget_limit_usd" not in announced():
        keys[0] |= {"budget": {"usd": "50", "soft": "0.000001", "per": "month"}, "tags": {"team": "a"}}
        keys[1]["budget"] = {"usd": "0.02", "per": "day"}
    # and those that keys share: of a tag, of each of its values, and of a route
    budgets = [
        {"id": "eng", "tag": "team=a", "usd": "100", "soft": "0.000001", "per": "month"},
        {"id": "each-team", "tag": "team", "usd": "50", "soft": "40", "per": "day"},
        {"id": "auto", "route": "auto", "usd": "50", "per": "week"},
    ]
    return {
        "server": {"first_byte_timeout": "1s"},
        "store": {"ledger": "sqlite:ledger.db"},
        "admin": {"key": ADMIN_KEY},
        "providers": providers,
        "models": [model(*it) for it in MODELS],
        "routes": [
            {"name": "auto", "candidates": ["cheap", "dear"], "baseline": "dear"},
            {"name": "dearer", "candidates": ["dear"], "baseline": "cheap"},
            {
                "name": "best",
                "candidates": ["cheap", "dear"],
                "objective": "quality",
                "min_quality": 0.7,
            },
            {"name": "after-failure", "candidates": ["failing", "cheap"], "objective": "order"},
            {"name": "with-tools", "candidates": ["no-tools", "dear"]},
        ],
        "keys": keys,
        "budgets": budgets,
    }


def model(name: str, backends: list, price: dict | None, more: dict) -> dict:
    rows = [{"provider": provider, "model": script} for provider, script in backends]
    for row in rows:
        row |= {"price": price} if price else {}
    return {
        "name": name,
        "backends": rows,
        "context": 8192,
        "max_output": 1024,
        "caps": ["streaming"],
    } | more


class Loaded:
    """The simulator, the gateway, and threads that go on asking until they are stopped."""

    def __init__(self, tollgate: str, folder: Path):
        simulator = f"127.0.0.1:{free_port()}"
        command = [tollgate, "simulate", "--listen", simulator]
        self._simulator = Program("simulate", command, folder, {})
        self._simulator.wait_for("listening", lambda: accepts(simulator))
        self._file = folder / "gateway.yaml"
        dead = f"http://127.0.0.1:{free_port()}"
        self._configuration = configuration(f"http://{simulator}", dead)
        self._write(self._configuration)
        self.client, self.admin = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        command = [tollgate, "serve", "--config", str(self._file)]
        command += ["--listen", self.client, "--admin-listen", self.admin]
        self._gateway = Program("gateway", command, folder, {})
        self._gateway.wait_for("readiness", lambda: status(f"http://{self.client}/readyz") == 200)
        # one that goes on all the time, so that there always is a call in flight and money held
        self._steady = start_stream(self.client, "steady", KEYS["team-a"])
        self._stopping = threading.Event()
        rounds = [self._quick, self._patient]
        self._threads = [threading.Thread(target=self._repeat, args=[it]) for it in rounds]
        for thread in self._threads:
            thread.start()

    def _write(self, configuration: dict) -> None:
        self._file.write_text(json.dumps(configuration, indent=1))

    def reload(self) -> None:
        """One file with a mistake, then a good one."""
        for wrong in [True, False]:
            more = {"no_such_key": 1} if wrong else {"limits": {"max_concurrent": 500}}
            self._write(self._configuration | more)
            path = "/admin/v1/reload"
            ask(self.admin, path, None, ADMIN_KEY)

    def stop(self) -> int | None:
        """The gateway's exit code."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(timeout=30)
        self._steady.close()
        code = self._gateway.stop(45)
        self._simulator.stop()
        return code

    def metrics(self) -> str:
        return get(f"http://{self.admin}/metrics")

    def _repeat(self, one_round) -> None:
        while not self._stopping.wait(SECONDS_BETWEEN_ROUNDS):
            one_round()

    def _chat(self, model: str, key: str = "team-a", head=None, **body) -> int:
        body = {"model": model, "messages": [{"role": "user", "content": "hello " * 9}]} | body
        return ask(self.client, "/v1/chat/completions", body, KEYS.get(key, key), head)

    def _judge(self, model: str) -> None:
        """Asks, and says how good the answer was; twice, of which the second is refused."""
        body = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
        request = request_id(self.client, body, KEYS["team-b"])
        for _ in range(2):
            judged = {"request_id": request, "score": 1}
            ask(self.client, "/v1/feedback", judged, KEYS["team-b"])

    def _quick(self) -> None:
        """What is answered or refused at once."""
        for key in ["team-a", "team-b", "hasty"]:
            self._chat("auto", key, stream=True)
            self._chat("best", key)
            self._chat("dearer", key)
        self._chat("auto", head={"x-stainless-retry-count": "1"})
        self._chat("auto", tools=TOOLS)
        self._chat("with-tools", "team-c", tools=TOOLS)
        self._judge("best")
        for model in ["failing", "flaky", "broke", "gone", "after-failure", "cut", "silent", "charged", "hurried"]:
            self._chat(model)
        for model in ["unpriced", "contradictory", "no-such-model"]:
            self._chat(model, "team-c")
        self._chat("cut", stream=True)
        self._chat("auto", "a-key-that-nobody-has")
        image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
        self._chat("auto", messages=[{"role": "user", "content": [image]}])

    def _patient(self) -> None:
        """What takes its time: a backend that hangs, and a client that leaves."""
        self._chat("hanging")
        leave(self.client, "slow", KEYS["team-c"])


def ask(address: str, path: str, body: dict | None, key: str, head=None) -> int:
    """The status of a POST whose answer was read to its end; 0: it broke off."""
    link = http.client.HTTPConnection(address, timeout=30)
    try:
        link.request("POST", path, json.dumps(body) if body else None, headers(key) | (head or {}))
        answer = link.getresponse()
        answer.read()
        return answer.status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        link.close()


def request_id(address: str, body: dict, key: str) -> str:
    """The id of a chat request that was answered."""
    link = http.client.HTTPConnection(address, timeout=30)
    try:
        link.request("POST", "/v1/chat/completions", json.dumps(body), headers(key))
        answer = link.getresponse()
        answer.read()
        return answer.getheader("x-request-id", "")
    finally:
        link.close()


def leave(address: str, model: str, key: str) -> None:
    """Goes away in the middle of a stream."""
    link = start_stream(address, model, key)
    time.sleep(0.2)
    link.close()


def start_stream(address: str, model: str, key: str) -> socket.socket:
    """The connection of a stream of which only the head was waited for."""
    body = {"model": model, "stream": True, "messages": [{"role": "user", "content": "hello"}]}
    text = json.dumps(body)
    lines = [
        "POST /v1/chat/completions HTTP/1.1",
        f"host: {address}",
        f"content-length: {len(text)}",
    ]
    lines += [f"{name}: {value}" for name, value in headers(key).items()]
    host, port = address.split(":")
    link = socket.create_connection((host, int(port)), timeout=30)
    link.sendall(("\r\n".join(lines) + "\r\n\r\n" + text).encode())
    link.recv(64)
    return link


def headers(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}", "content-type": "application/json"}
