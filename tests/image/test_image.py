"""The image as it was built: what it holds, and how it runs, hardened as in docs/deploy.md.

    test_image.py TAG REPOSITORY [COMPOSE]     with DOCKER_HOST set to a daemon that has the image

Containers have no network but their own loopback, which this program enters with nsenter. So the
image's own ports are used, and nothing on this machine can be in the way.
"""

import json
import re
import subprocess
import sys
import tempfile
import time
import tomllib
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "real"))
import report

TAG, ROOT = sys.argv[1], Path(sys.argv[2])
# the program, or empty
COMPOSE = sys.argv[3] if len(sys.argv) > 3 else ""
KEY = "test-key-of-the-image-test"
ADMIN_KEY = "test-admin-key-of-the-image-test"
MOST_BYTES = 50_000_000
# what a cluster's restricted profile asks of a container
HARDENED = ["--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
CONFIG = f"""
providers:
  sim: {{ base_url: "http://127.0.0.1:4199/v1" }}
models:
  - name: quick
    backends: [{{ provider: sim, model: "quick+out=12", price: {{ input: "1", output: "2" }} }}]
    context: 8192
    max_output: 1024
    caps: [streaming]
  - name: slow
    backends: [{{ provider: sim, model: "slow+out=80+gap=100ms", price: free }}]
    context: 8192
    max_output: 1024
    caps: [streaming]
keys: [{{ id: test, key: {KEY} }}]
admin: {{ key: {ADMIN_KEY} }}
"""
# run in a container's network: method, path, body; prints status and body
ASK = """
import http.client, sys
port, method, path, key, body = sys.argv[1:]
link = http.client.HTTPConnection("127.0.0.1", int(port), timeout=60)
head = {"authorization": "Bearer " + key, "content-type": "application/json"}
link.request(method, path, body or None, head if key else {})
answer = link.getresponse()
print(answer.status, flush=True)
print(answer.read().decode())
"""


def docker(*words: str, check: bool = True) -> str:
    done = subprocess.run(["docker", *words], capture_output=True, text=True, timeout=120)
    if check and done.returncode != 0:
        raise RuntimeError(f"docker {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout.strip() if check else done.stdout + done.stderr


def inspect(what: str, template: str) -> str:
    return docker("inspect", "--format", template, what)


def in_network(container: str, *command: str) -> subprocess.Popen:
    pid = inspect(container, "{{.State.Pid}}")
    enter = ["nsenter", f"--net=/proc/{pid}/ns/net", *command]
    return subprocess.Popen(enter, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def start_asking(container: str, port: int, method: str, path: str, key="", body=None):
    sent = json.dumps(body) if body else ""
    command = [sys.executable, "-c", ASK, str(port), method, path, key, sent]
    return in_network(container, *command)


def finish(asking: subprocess.Popen) -> tuple[int, str]:
    out, err = asking.communicate(timeout=90)
    if asking.returncode != 0:
        raise RuntimeError(err)
    status, body = out.split("\n", 1)
    return int(status), body.rstrip("\n")


def ask(container: str, port: int, method: str, path: str, key="", body=None) -> tuple[int, str]:
    return finish(start_asking(container, port, method, path, key, body))


def chat(model: str, **more) -> dict:
    return {"model": model, "messages": [{"role": "user", "content": "hello"}], **more}


def eventually(what: str, ready, seconds: float = 40.0):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := ready():
            return found
        time.sleep(0.2)
    raise RuntimeError(f"{what} took over {seconds:.0f} s")


def run(*words: str) -> str:
    """A container without a network, in the background."""
    return docker("run", "--detach", "--network", "none", *words)


class Contents(unittest.TestCase):
    """What the image says of itself and holds."""

    def test_it_is_small(self):
        size = int(inspect(TAG, "{{.Size}}"))
        print(f"           {size / 1e6:.1f} MB", flush=True)
        self.assertLess(size, MOST_BYTES)

    def test_it_runs_as_a_fixed_user_who_is_not_root(self):
        self.assertEqual(inspect(TAG, "{{.Config.User}}"), "65532:65532")

    def test_its_labels_say_what_it_is(self):
        labels = json.loads(inspect(TAG, "{{json .Config.Labels}}"))
        package = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]
        name = "org.opencontainers.image."
        self.assertEqual(labels[name + "title"], package["name"])
        self.assertEqual(labels[name + "description"], package["description"])
        self.assertEqual(labels[name + "licenses"], package["license"])
        self.assertEqual(labels[name + "version"], package["version"])
        self.assertRegex(labels[name + "revision"], r"^([0-9a-f]{12}|unknown)$")

    def test_without_arguments_it_names_the_version_of_cargo_toml(self):
        package = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]
        default = f"ARG VERSION={package['version']}\n"
        self.assertIn(default, (ROOT / "Dockerfile").read_text())

    def test_it_declares_its_ports_and_the_volume_of_the_ledger(self):
        ports = json.loads(inspect(TAG, "{{json .Config.ExposedPorts}}"))
        self.assertEqual(sorted(ports), ["4100/tcp", "4101/tcp"])
        volumes = json.loads(inspect(TAG, "{{json .Config.Volumes}}"))
        self.assertEqual(list(volumes), ["/var/lib/tollgate"])

    def test_it_holds_the_program_its_libraries_and_nothing_to_run_besides(self):
        made = docker("create", TAG)
        listing = subprocess.run(
            f"docker export {made} | tar -t", shell=True, capture_output=True, text=True, check=True
        ).stdout.split()
        docker("rm", "--volumes", made)
        files = [name for name in listing if not name.endswith("/")]
        programs = [name for name in files if "/bin/" in name or "/sbin/" in name]
        self.assertEqual(programs, ["usr/local/bin/tollgate"])
        for word in ["vendor", ".env", "Cargo", ".rs"]:
            self.assertFalse([name for name in files if word in name], word)
        libraries = [name for name in files if ".so" in name]
        self.assertTrue(2 <= len(libraries) <= 6, libraries)
        self.assertIn("usr/share/doc/tollgate/LICENSE", files)

    def test_no_secret_stands_in_its_variables_or_history(self):
        history = docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", TAG)
        variables = inspect(TAG, "{{json .Config.Env}}")
        told = (history + variables).lower()
        for word in ["secret", "api_key", "token", "password"]:
            self.assertNotIn(word, told)


class Starts(unittest.TestCase):
    """Ways to start it."""

    def test_it_says_its_version(self):
        version = inspect(TAG, '{{index .Config.Labels "org.opencontainers.image.version"}}')
        told = docker("run", "--rm", "--network", "none", *HARDENED, TAG, "--version")
        self.assertEqual(told, f"tollgate {version}")

    def test_with_nothing_to_serve_it_ends_with_two_and_names_the_demo(self):
        done = subprocess.run(
            ["docker", "run", "--rm", "--network", "none", TAG], capture_output=True, text=True
        )
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("tollgate demo", done.stderr)

    def test_a_providers_key_alone_is_enough_and_makes_a_client_key(self):
        made = run(*HARDENED, "--env", "DEEPSEEK_API_KEY=not-a-real-key", TAG)
        try:
            eventually("readiness", lambda: "listening" in docker("logs", made, check=False))
            self.assertEqual(ask(made, 4100, "GET", "/v1/models")[0], 401)
            told = docker("logs", made, check=False)
            key = re.search(r"^client key, made at this start: (\S+)$", told, re.MULTILINE)[1]
            self.assertRegex(told, "(?m)^admin key, made at this start: ")
            status, body = ask(made, 4100, "GET", "/v1/models", key)
            self.assertEqual(status, 200, body)
            self.assertIn("auto", {model["id"] for model in json.loads(body)["data"]})
        finally:
            docker("rm", "--force", "--volumes", made)

    def test_the_demo_runs_in_it(self):
        told = docker("run", "--rm", "--network", "none", *HARDENED, TAG, "demo", "--once")
        self.assertIn("baseline", told.lower())


class Serves(unittest.TestCase):
    """The gateway with a configuration, hardened: no root, no capability, nothing to write to but
    the volume."""

    def setUp(self):
        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        folder.chmod(0o755)
        (folder / "tollgate.yaml").write_text(CONFIG)
        self.gateway = run(*HARDENED, "--volume", f"{folder}:/etc/tollgate:ro", TAG)
        self.addCleanup(docker, "rm", "--force", "--volumes", self.gateway)
        shared = ["--network", f"container:{self.gateway}"]
        self.simulator = docker(
            "run", "--detach", *shared, *HARDENED, TAG, "simulate", "--listen", "127.0.0.1:4199"
        )
        self.addCleanup(docker, "rm", "--force", "--volumes", self.simulator)
        eventually(
            "the simulator", lambda: "simulating" in docker("logs", self.simulator, check=False)
        )

    def ask(self, method: str, path: str, body=None, port: int = 4100):
        return ask(self.gateway, port, method, path, KEY if port == 4100 else ADMIN_KEY, body)

    def test_the_health_check_turns_healthy(self):
        eventually("health", lambda: healthy(self.gateway))

    def test_it_listens_for_others_and_knows_the_drain_delay_of_the_image(self):
        status, body = self.ask("GET", "/admin/v1/config", port=4101)
        self.assertEqual(status, 200, body)
        server = json.loads(body)["config"]["server"]
        self.assertEqual((server["listen"], server["drain_delay"]), ("0.0.0.0:4100", "5s"))

    def test_models_are_listed_a_chat_is_answered_and_counted_in_the_ledger(self):
        status, body = self.ask("GET", "/v1/models")
        self.assertEqual(status, 200, body)
        self.assertEqual({m["id"] for m in json.loads(body)["data"]}, {"quick", "slow"})
        status, body = self.ask("POST", "/v1/chat/completions", chat("quick"))
        self.assertEqual(status, 200, body)
        row = "tollgate_ledger_written_total 1"
        eventually("the ledger's row", lambda: row in metrics(self.gateway))
        told = docker("exec", self.gateway, "/usr/local/bin/tollgate", "report", "--format", "json")
        self.assertEqual([row["requests"] for row in json.loads(told)["rows"]], [1])

    def test_the_metrics_name_the_commit_of_the_label(self):
        revision = inspect(TAG, '{{index .Config.Labels "org.opencontainers.image.revision"}}')
        self.assertIn(f'commit="{revision}"', metrics(self.gateway))

    def test_sigterm_lets_a_stream_end_and_the_exit_code_is_zero(self):
        body = chat("slow", stream=True)
        asking = start_asking(self.gateway, 4100, "POST", "/v1/chat/completions", KEY, body)
        self.assertEqual(asking.stdout.readline(), "200\n")
        started = time.monotonic()
        docker("stop", "--time", "45", self.gateway)
        seconds = time.monotonic() - started
        out, _ = asking.communicate(timeout=30)
        self.assertTrue(out.rstrip().endswith("data: [DONE]"), out[-200:])
        self.assertEqual(inspect(self.gateway, "{{.State.ExitCode}}"), "0")
        self.assertGreaterEqual(seconds, 5.0)
        self.assertLess(seconds, 30.0)


class Demo(unittest.TestCase):
    """deploy/compose.demo.yaml, brought up by Docker Compose with this image."""

    def compose(self, *words: str) -> str:
        files = ["--file", str(ROOT / "deploy/compose.demo.yaml"), "--file", str(self.override)]
        command = [COMPOSE, "--project-name", "tollgate-image-test", *files, *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        if "failed to create network" in done.stderr:
            self.skipTest(f"no network for containers can be made here: {done.stderr[-200:]}")
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout.strip()

    def setUp(self):
        if not COMPOSE:
            self.skipTest("Docker Compose could not be installed")
        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.override = folder / "override.yaml"
        # not the machine's own ports, which may be taken
        self.override.write_text(
            f"services:\n  tollgate: {{ image: {TAG}, ports: !reset [] }}\n"
            f"  simulator: {{ image: {TAG} }}\n"
        )
        self.addCleanup(self.compose, "down", "--volumes")
        self.compose("up", "--detach", "--no-build")

    def test_it_answers_from_the_simulator_and_both_turn_healthy(self):
        gateway = self.compose("ps", "--quiet", "tollgate")
        simulator = self.compose("ps", "--quiet", "simulator")
        eventually("listening", lambda: "listening" in docker("logs", gateway, check=False))
        key = "demo-key-for-this-machine-only"
        status, body = ask(gateway, 4100, "POST", "/v1/chat/completions", key, chat("auto"))
        self.assertEqual(status, 200, body)
        self.assertTrue(json.loads(body)["model"].startswith("sim-"), body)
        eventually("health", lambda: healthy(gateway) and healthy(simulator))


def healthy(container: str) -> bool:
    return inspect(container, "{{.State.Health.Status}}") == "healthy"


def metrics(container: str) -> str:
    return ask(container, 4101, "GET", "/metrics")[1]


if __name__ == "__main__":
    sys.exit(report.run(sys.modules["__main__"], []))
