"""Who is measured: how each is installed and started, and what it is asked.

A contender that is not installed is left out, with the reason. Nothing is installed outside of
target/compare, and all are asked on the loopback, in plain HTTP/1.1."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import fleet
from process import Process

ROOT = Path(__file__).resolve().parents[2]
PLACE = ROOT / "target/compare"
BUILT = ROOT / "target/dist"

# a key in the store like the one in the file
STORED = "--rpm 100000000 --tpm 100000000000 --max-concurrent 100000 --budget 1000000 --per month".split()

LITELLM = "litellm[proxy]"
PORTKEY = "@portkey-ai/gateway"


class Contender:
    """Someone who passes a request on to the simulator, which listens on `upstream`."""

    name = ""
    # seconds until it serves
    patience = 10
    # starts that are timed
    starts = 5
    # does it pass on streams? Found out when it is started
    streams = True
    # one whose loads may be left out if they do not end
    optional = False
    # streams at once that it is asked for
    most_streams = 4000

    def __init__(self, port, upstream):
        self.port, self.upstream = port, upstream

    def missing(self):
        """Why it can't be measured, if it can't."""
        return None

    def program(self):
        """The file whose size counts, where it is one."""
        return None

    def start(self):
        raise NotImplementedError

    def model(self, kind):
        return fleet.KINDS[kind]

    def headers(self):
        return {"authorization": "Bearer simulated"}

    def path(self):
        return "/v1/chat/completions"

    def request(self, kind="whole"):
        headers = {"content-type": "application/json", **self.headers()}
        return "POST", self.path(), fleet.body(self.model(kind), kind), headers


class Simulator(Contender):
    """Nobody in between."""

    name = "direct"

    def start(self):
        return Process([BUILT / "tollgate", "simulate", "--listen", f"127.0.0.1:{self.port}"])


class Nginx(Contender):
    name = "nginx"

    def missing(self):
        return None if shutil.which("nginx") else "nginx is not installed (Debian: `nginx`)"

    def program(self):
        return shutil.which("nginx")

    def start(self):
        text = (Path(__file__).parent / "nginx.conf").read_text(encoding="utf-8")
        text = text.replace("LISTEN", str(self.port)).replace("UPSTREAM", str(self.upstream))
        file = written("nginx/nginx.conf", text)
        return Process(["nginx", "-e", "/dev/null", "-p", file.parent, "-c", file])


class Floor(Contender):
    name = "floor"
    flags = ()

    def program(self):
        return BUILT / "floor"

    def start(self):
        listen, upstream = (f"127.0.0.1:{port}" for port in (self.port, self.upstream))
        return Process([self.program(), *self.flags, listen, upstream])


class FloorPerCore(Floor):
    name = "floor per core"
    flags = ("--per-core",)


class Tollgate(Contender):
    """A route over ten backends, and everything on."""

    name = "tollgate auto"

    def program(self):
        return os.environ.get("TOLLGATE", BUILT / "tollgate")

    def configuration(self):
        return fleet.tollgate(self.upstream)

    def start(self, keep=False):
        folder = self.name.replace(" ", "-")
        file = written(f"{folder}/tollgate.yaml", self.configuration())
        for old in file.parent.glob("compare.db*"):
            if not keep:
                old.unlink()
        addresses = ["--listen", f"127.0.0.1:{self.port}", "--admin-listen", "127.0.0.1:0"]
        return Process([self.program(), "serve", "--config", file, *addresses], cwd=file.parent)

    def model(self, kind):
        return f"auto-{kind}"

    def headers(self):
        return {"authorization": f"Bearer {fleet.KEY}"}


class TollgatePlain(Tollgate):
    """The same, asked for a model by its name."""

    name = "tollgate plain"

    def model(self, kind):
        return f"deepseek-flash-{kind}"


class TollgateLarge(Tollgate):
    """The same among 10,000 models, 100,000 backends, 1,000 routes and 1,000,000 keys."""

    name = "tollgate large"
    patience = 60
    starts = 1
    most_streams = 0
    wanted = False

    def missing(self):
        return None if self.wanted else "--large measures it"

    def start(self):
        first = super().start()
        try:
            first.ready(self.port, ("GET", "/v1/models", None, {}), self.patience, 401)
        finally:
            first.stop()
        folder = PLACE / "run/tollgate-large"
        fleet.fill_store(folder / "compare.db")
        create = [self.program(), "keys", "create", "--json", "--config", "tollgate.yaml", *STORED]
        made = subprocess.run(create, cwd=folder, check=True, capture_output=True, text=True)
        self.key = json.loads(made.stdout)["key"]
        return super().start(keep=True)

    def headers(self):
        return {"authorization": f"Bearer {self.key}"}

    def configuration(self):
        return fleet.tollgate(self.upstream, large=True)


class TollgateBefore(Tollgate):
    """Another build of tollgate, for a comparison before and after."""

    name = "tollgate before"

    def missing(self):
        return None if "TOLLGATE_BEFORE" in os.environ else "TOLLGATE_BEFORE names no program"

    def program(self):
        return os.environ["TOLLGATE_BEFORE"]


class LiteLlm(Contender):
    """One worker process: more of them share the work, and cost as much for each request."""

    name = "LiteLLM"
    patience = 90
    starts = 1
    optional = True
    # it keeps an event back until the next one comes, so that streams that fall silent never begin
    most_streams = 0

    def _python(self):
        return PLACE / "litellm/bin/python"

    def missing(self):
        if (PLACE / "litellm/bin/litellm").exists():
            return None
        return f"not installed (`--install`, or pip's `{LITELLM}` in target/compare/litellm)"

    def install(self):
        subprocess.run([sys.executable, "-m", "venv", PLACE / "litellm"], check=True)
        subprocess.run([self._python(), "-m", "pip", "install", "-q", LITELLM], check=True)

    def start(self):
        models = [
            {
                "model_name": script,
                "litellm_params": {
                    "model": f"openai/{script}",
                    "api_base": f"http://127.0.0.1:{self.upstream}/v1",
                    "api_key": "simulated",
                    "input_cost_per_token": 1e-7,
                    "output_cost_per_token": 3e-7,
                },
            }
            for script in fleet.KINDS.values()
        ]
        settings = {
            "model_list": models,
            "litellm_settings": {"telemetry": False, "num_retries": 0},
            "general_settings": {"master_key": "sk-compare"},
        }
        file = written("litellm.yaml", json.dumps(settings))  # JSON is YAML
        quiet = {"LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
        command = [PLACE / "litellm/bin/litellm", "--config", file]
        address = ["--host", "127.0.0.1", "--port", self.port, "--num_workers", "1"]
        return Process(command + address, quiet)

    def headers(self):
        return {"authorization": "Bearer sk-compare"}


class Portkey(Contender):
    name = "Portkey"
    patience = 30
    starts = 3
    optional = True
    most_streams = 1000

    def _script(self):
        return PLACE / "portkey/node_modules" / PORTKEY / "build/start-server.js"

    def missing(self):
        if self._script().exists():
            return None
        return f"not installed (`--install`, or npm's `{PORTKEY}` in target/compare/portkey)"

    def install(self):
        (PLACE / "portkey").mkdir(parents=True, exist_ok=True)
        quiet = ["--no-audit", "--no-fund", "--silent"]
        subprocess.run(["npm", "install", *quiet, PORTKEY], cwd=PLACE / "portkey", check=True)

    def start(self):
        command = ["node", self._script(), "--headless", f"--port={self.port}"]
        return Process(command, {"NODE_ENV": "production"})

    def headers(self):
        return {
            "authorization": "Bearer simulated",
            "x-portkey-provider": "openai",
            "x-portkey-custom-host": f"http://127.0.0.1:{self.upstream}/v1",
        }


ALL = [
    Nginx,
    Floor,
    FloorPerCore,
    Tollgate,
    TollgatePlain,
    TollgateLarge,
    TollgateBefore,
    LiteLlm,
    Portkey,
]


def written(name, text):
    """A file of a contender."""
    file = PLACE / "run" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file
