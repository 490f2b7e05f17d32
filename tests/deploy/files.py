"""The files of deploy/ against what they must be: dashboards, rules, Compose and Dockerfiles.
Nothing is started."""

import json
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from collections import Counter
from pathlib import Path

import yaml
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard
from panels import DASHBOARDS, ROOT, announced, documented, family, load, metrics, panels, queries

DEPLOY = ROOT / "deploy"
RULES = DEPLOY / "prometheus/rules"
# programs of the Python environment that runs this
TOOLS = Path(sys.executable).parent
BINARY = ""
# what the program is waited for, beside drain_delay and drain_timeout: the ledger's last rows
LEDGER_SECONDS = 5


def run(*command: str) -> subprocess.CompletedProcess:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


def rules() -> list[dict]:
    files = sorted(RULES.glob("*.yml"))
    groups = [group for path in files for group in yaml.safe_load(path.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"]]


def recorded() -> set[str]:
    return {rule["record"] for rule in rules() if "record" in rule}


def alerts() -> list[dict]:
    return [rule for rule in rules() if "alert" in rule]


def anchors(path: Path) -> set[str]:
    """Headings, as a renderer of Markdown makes anchors of them."""
    found = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in found}


def differences(ours, typed, place: str = ""):
    """Where something of ours is not in the other, or is another value there."""
    if isinstance(ours, dict) and isinstance(typed, dict):
        for key, value in ours.items():
            yield from differences(value, typed.get(key), f"{place}/{key}")
    elif isinstance(ours, list) and isinstance(typed, list) and len(ours) == len(typed):
        for mine, other in zip(ours, typed, strict=True):
            yield from differences(mine, other, place)
    elif ours != typed:
        yield place


class Files(unittest.TestCase):
    """A test case whose failures list what is wrong, one a line."""

    def none(self, wrong) -> None:
        wrong = list(wrong)
        self.assertEqual(wrong, [], "\n" + "\n".join(map(str, wrong)))


class Dashboards(Files):
    """JSON that Grafana reads, without anything of the Grafana that it was made in."""

    def test_there_are_four_with_names_of_their_own(self):
        boards = [load(path) for path in DASHBOARDS]
        self.assertEqual(
            [path.stem for path in DASHBOARDS], ["cost", "limits", "routing", "service"]
        )
        for what in ["uid", "title"]:
            self.assertEqual(len({board[what] for board in boards}), 4, what)
        self.none(board["title"] for board in boards if "id" in board or "__inputs" in board)

    def test_grafanas_own_types_know_every_member(self):
        plugins.register_default_plugins()
        # read by the data source, or by the editor, and not in the types of a dashboard
        other = {
            "/annotations/list/titleFormat",
            "/annotations/list/step",
            "/templating/list/definition",
        }
        wrong = []
        for path in DASHBOARDS:
            board = load(path)
            typed = json.loads(JSONEncoder().encode(Dashboard.from_json(board)))
            wrong += [f"{path.stem}{it}" for it in differences(board, typed) if it not in other]
        self.none(wrong)

    def test_every_panel_has_an_id_a_title_a_unit_and_a_description(self):
        wrong = []
        for path in DASHBOARDS:
            found = load(path)["panels"]
            ids = Counter(panel["id"] for panel in found)
            wrong += [
                f"{path.stem}: panel id {it} stands {n} times" for it, n in ids.items() if n > 1
            ]
            titles = Counter(panel["title"] for panel in panels(load(path)))
            for panel in panels(load(path)):
                place = f"{path.stem} / {panel['title']}"
                unit = panel["fieldConfig"]["defaults"].get("unit")
                wrong += [f"{place}: no unit"] if not unit else []
                wrong += (
                    [f"{place}: no description"] if len(panel.get("description", "")) < 20 else []
                )
                wrong += [f"{place}: no query"] if not panel["targets"] else []
                # rows tell equal titles apart; the list of exceptions of the live test can't
                queries_of = [target["expr"] for target in panel["targets"]]
                wrong += [f"{place}: empty query"] if not all(queries_of) else []
            wrong += [
                f"{path.stem}: two panels are called {it}" for it, n in titles.items() if n > 1
            ]
        self.none(wrong)

    def test_panels_do_not_overlap_and_fill_the_grid(self):
        wrong = []
        for path in DASHBOARDS:
            taken: dict[tuple[int, int], str] = {}
            for panel in load(path)["panels"]:
                at = panel["gridPos"]
                for x in range(at["x"], at["x"] + at["w"]):
                    for y in range(at["y"], at["y"] + at["h"]):
                        other = taken.setdefault((x, y), panel["title"])
                        if other != panel["title"] or x >= 24:
                            wrong.append(f"{path.stem}: {panel['title']} is where {other} is")
        self.none(sorted(set(wrong)))

    def test_the_data_source_is_the_variable_everywhere(self):
        def sources(value):
            if isinstance(value, dict):
                yield from [value["datasource"]] if "datasource" in value else []
                for inner in value.values():
                    yield from sources(inner)
            if isinstance(value, list):
                for inner in value:
                    yield from sources(inner)

        want = {"type": "prometheus", "uid": "${datasource}"}
        for path in DASHBOARDS:
            board = load(path)
            self.none(source for source in sources(board) if source != want)
            first = board["templating"]["list"][0]
            self.assertEqual((first["name"], first["type"]), ("datasource", "datasource"))

    def test_queries_use_only_variables_that_are_there(self):
        wrong = []
        for path in DASHBOARDS:
            board = load(path)
            known = {variable["name"] for variable in board["templating"]["list"]}
            known |= {"__rate_interval", "__range", "__interval"}
            for panel in panels(board):
                for target in panel["targets"]:
                    used = set(re.findall(r"\$\{?(\w*[a-z]\w*)", target["expr"]))
                    wrong += [f"{path.stem} / {panel['title']}: ${it}" for it in used - known]
        self.none(wrong)

    def test_every_metric_is_documented_recorded_or_announced(self):
        known = documented() | announced() | recorded()
        self.none(f"{q}: {it}" for q in queries() for it in q.metrics() if family(it) not in known)

    def test_every_documented_metric_is_on_a_dashboard_or_in_a_rule(self):
        shown = {family(name) for query in queries() for name in query.metrics()}
        shown |= {family(name) for rule in rules() for name in metrics(rule["expr"])}
        self.none(documented() - shown)

    def test_grafana_is_told_where_they_are(self):
        place = DEPLOY / "grafana/provisioning"
        provider = yaml.safe_load((place / "dashboards/tollgate.yaml").read_text())["providers"][0]
        services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
        mounts = [volume.split(":") for volume in services["grafana"]["volumes"]]
        targets = {target: source for source, target, *_ in mounts}
        self.assertEqual(targets[provider["options"]["path"]], "./grafana/dashboards")
        self.assertEqual(targets["/etc/grafana/provisioning"], "./grafana/provisioning")
        source = yaml.safe_load((place / "datasources/prometheus.yaml").read_text())["datasources"][
            0
        ]
        self.assertEqual((source["type"], source["url"]), ("prometheus", "http://prometheus:9090"))


class Alerts(Files):
    """Rules that Prometheus takes, that do what they say, and that tell what to do."""

    def setUp(self):
        if not shutil.which("promtool"):
            self.skipTest("promtool is not installed")

    def test_prometheus_takes_configuration_and_rules(self):
        done = run("promtool", "check", "config", "deploy/prometheus/prometheus.yml")
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_rules_do_what_their_cases_say(self):
        cases = sorted(str(path) for path in (DEPLOY / "prometheus/tests").glob("*.yml"))
        done = run("promtool", "test", "rules", *cases)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_every_alert_fires_in_a_case_and_stays_silent_in_one(self):
        cases = yaml.safe_load((DEPLOY / "prometheus/tests/alerts.test.yml").read_text())["tests"]
        checks = [check for case in cases for check in case["alert_rule_test"]]
        fires = {check["alertname"] for check in checks if check["exp_alerts"]}
        silent = {check["alertname"] for check in checks if not check["exp_alerts"]}
        # a check lists all alerts of a name, so one with other series beside it shows silence too
        both = {"TollgateKeyBudgetBurn", "TollgateKeyBudgetSpent", "TollgateBreakerFlapping"}
        names = {alert["alert"] for alert in alerts()}
        self.assertEqual(fires, names)
        self.assertEqual(silent | both, names)

    def test_every_alert_says_what_it_is_and_its_runbook_exists(self):
        wrong = []
        for alert in alerts():
            name, told = alert["alert"], alert["annotations"]
            wrong += [f"{name}: no {it}" for it in ["summary", "description"] if not told.get(it)]
            wrong += (
                [f"{name}: severity"]
                if alert["labels"]["severity"] not in ["page", "ticket"]
                else []
            )
            path, _, anchor = told["runbook"].partition("#")
            wrong += [f"{name}: {told['runbook']}"] if anchor not in anchors(ROOT / path) else []
        self.none(wrong)

    def test_every_section_of_the_runbook_is_an_alert(self):
        text = (ROOT / "docs/runbook.md").read_text()
        sections = set(re.findall(r"^## (Tollgate\w+)$", text, re.MULTILINE))
        self.assertEqual(sections, {alert["alert"] for alert in alerts()})

    def test_rules_name_only_metrics_that_are_documented_recorded_or_announced(self):
        known = documented() | announced() | recorded()
        named = [(rule, name) for rule in rules() for name in metrics(rule["expr"])]
        self.none(f"{rule}: {name}" for rule, name in named if family(name) not in known)

    def test_recorded_metrics_are_named_in_the_document(self):
        text = (ROOT / "docs/deploy.md").read_text()
        short = {re.sub(r"(ratio_rate)\w+$", r"\1…", name) for name in recorded()}
        self.none(name for name in short if f"`{name}`" not in text)


class Compose(Files):
    """The two stacks, read by Docker Compose itself."""

    def files(self):
        return [DEPLOY / "compose.yaml", DEPLOY / "compose.demo.yaml"]

    def services(self):
        for path in self.files():
            for name, service in yaml.safe_load(path.read_text())["services"].items():
                yield path.name, name, service

    def test_docker_compose_takes_them(self):
        for path in self.files():
            done = run(str(TOOLS / "docker-compose"), "-f", str(path), "config", "--quiet")
            self.assertEqual(done.returncode, 0, done.stderr)

    def test_images_have_a_version_and_no_registry(self):
        wrong = []
        for file, name, service in self.services():
            image, _, tag = service["image"].partition(":")
            if not re.search(r"\d+\.\d+\.\d+", tag) or "." in image.split("/")[0]:
                wrong.append(f"{file}: {name}: {service['image']}")
        self.none(wrong)

    def test_ports_are_open_on_this_machine_only(self):
        ports = [
            (f, n, port) for f, n, service in self.services() for port in service.get("ports", [])
        ]
        self.none(it for it in ports if not it[2].startswith("127.0.0.1:"))

    def test_files_that_are_mounted_or_built_exist(self):
        wrong = []
        for file, name, service in self.services():
            sources = [volume.split(":")[0] for volume in service.get("volumes", [])]
            places = [source for source in sources if source.startswith(".")]
            places += [service["build"]["context"]] if "build" in service else []
            wrong += [f"{file}: {name}: {it}" for it in places if not (DEPLOY / it).exists()]
        self.none(wrong)

    def test_the_gateway_has_time_to_end(self):
        for _, name, service in self.services():
            if name == "tollgate":
                seconds = int(service["stop_grace_period"].removesuffix("s"))
                self.assertGreaterEqual(seconds, 5 + 30 + LEDGER_SECONDS)

    def test_secrets_are_made_and_nowhere_in_the_repository(self):
        secrets = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["secrets"]
        script = (DEPLOY / "secrets.sh").read_text()
        names = re.search(r"for name in (.*); do", script).group(1).split()
        self.assertEqual(
            [secret["file"] for secret in secrets.values()], [f"./secrets/{n}" for n in names]
        )
        self.assertIn("deploy/secrets/", (ROOT / ".gitignore").read_text().splitlines())

    def test_the_gateway_takes_its_configurations(self):
        with tempfile.TemporaryDirectory() as folder:
            for path, more in [
                ("gateway/tollgate.yaml", {}),
                ("demo/tollgate.yaml", {"SIMULATOR": "http://s:1"}),
            ]:
                check_configuration(self, (DEPLOY / path).read_text(), Path(folder), more)

    def test_the_demo_is_the_demo_of_the_program(self):
        ours = yaml.safe_load(
            (DEPLOY / "demo/tollgate.yaml").read_text().replace("${SIMULATOR}", "S")
        )
        demo = (ROOT / "config/demo.yaml").read_text()
        demo = yaml.safe_load(demo.replace("${SIMULATOR:-http://127.0.0.1:4199}", "S"))
        for part in ["providers", "models", "routes"]:
            self.assertEqual(ours[part], demo[part], part)


class Images(Files):
    """Dockerfiles, without building them (tests/image/ does)."""

    def test_hadolint_has_nothing_to_say(self):
        for path in ["Dockerfile", "deploy/model/Dockerfile"]:
            done = run(str(TOOLS / "hadolint"), "--no-color", path)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_the_context_leaves_out_everything_that_is_not_named(self):
        lines = (ROOT / ".dockerignore").read_text().splitlines()
        rules = [line for line in lines if line and not line.startswith("#")]
        self.assertEqual(rules[0], "*")
        for name in [".git", ".env", "target", "deploy", "tollgate.db"]:
            self.assertNotIn(f"!{name}", rules)

    def test_the_model_is_the_one_that_the_tests_know(self):
        ours, theirs = DEPLOY / "model/requirements.txt", ROOT / "tests/real/model-requirements.txt"
        self.assertEqual(ours.read_text(), theirs.read_text())


def check_configuration(case: unittest.TestCase, text: str, folder: Path, more: dict) -> None:
    """`tollgate check` of a configuration in a container's place: its secrets are files here, and
    the defaults are those of the image."""
    for path in re.findall(r"\$\{file:([^}]+)\}", text):
        (folder / Path(path).name).write_text(f"a-secret-of-some-length-{Path(path).name}\n")
    text = re.sub(r"\$\{file:[^}]*/([^}/]+)\}", rf"${{file:{folder}/\1}}", text)
    (folder / "t.yaml").write_text(text)
    image = re.findall(r"(TOLLGATE_\w+)=(\S+)", (ROOT / "Dockerfile").read_text())
    env = {name: value for name, value in image if name != "TOLLGATE_COMMIT"}
    command = [BINARY, "check", "--config", str(folder / "t.yaml"), "--json"]
    done = subprocess.run(command, env=env | more, capture_output=True, text=True, timeout=60)
    case.assertEqual(done.returncode, 0, done.stdout + done.stderr)


def parse(path: Path) -> list[dict]:
    return [part for part in yaml.safe_load_all(path.read_text()) if part]
