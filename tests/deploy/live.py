"""The gateway under load, scraped by a real Prometheus: every panel shows something."""

import json
import math
import shutil
import tempfile
import time
import unittest
import urllib.parse
from pathlib import Path

import yaml
from load import Loaded
from panels import ROOT, announced, documented, family, filled, queries
from stack import Program, free_port, get, status

WARM_SECONDS = 40.0
# panels that may show nothing but zeros, and why
ZERO_IS_FINE = {
    "routing / Last resort / A": "no decision is taken without a healthy backend",
    "routing / Uncertain / A": "the qualities of the test are known",
    "routing / Answers that were looked at / B": "there is time to look at every answer",
    "service / Ledger rows waiting / A": "rows are written within 50 ms",
    "service / Counted under other / A": "there is room for every series",
    "service / Ledger rows written and lost / B": "no row is lost",
}
BINARY = ""


class Panels(unittest.TestCase):
    """Dashboards, recording rules and alerts on what a real gateway says."""

    @classmethod
    def setUpClass(cls):
        if not shutil.which("prometheus"):
            raise unittest.SkipTest("prometheus is not installed")
        folder = tempfile.TemporaryDirectory(prefix="tollgate-deploy-")
        cls.addClassCleanup(folder.cleanup)
        path = Path(folder.name)
        cls.loaded = Loaded(BINARY, path)
        cls.addClassCleanup(cls.loaded.stop)
        cls.prometheus, program = start_prometheus(path, cls.loaded.admin)
        cls.addClassCleanup(program.stop)
        time.sleep(WARM_SECONDS / 2)
        cls.loaded.reload()
        time.sleep(WARM_SECONDS / 2)

    def test_prometheus_scrapes_the_gateway(self):
        self.assertEqual(values(instant(self.prometheus, 'up{job="tollgate"}')), [1.0])

    def test_every_family_of_the_document_is_there(self):
        names = json.loads(get(f"{self.prometheus}/api/v1/label/__name__/values"))["data"]
        missing = documented() - {family(name) for name in names} - set(names)
        self.assertEqual(missing, set())

    def test_every_query_of_every_panel_has_data(self):
        empty, full, waiting = [], 0, []
        pending = announced()
        for query in queries():
            found = self.run_query(query)
            needs = {family(name) for name in query.metrics()} & pending
            if needs:
                waiting.append(f"{query}: {sorted(needs)}")
                if found:
                    empty.append(f"{query}: has data, take its metrics out of `Not there yet`")
            elif not found:
                empty.append(f"{query}: no data: {filled(query.text)}")
            elif not any(found) and str(query) not in ZERO_IS_FINE:
                empty.append(f"{query}: only zeros: {filled(query.text)}")
            else:
                full += 1
        print(
            f"           {full} queries have data, {len(waiting)} wait for their metrics",
            flush=True,
        )
        self.assertEqual(empty, [], "\n" + "\n".join(empty))

    def test_the_exceptions_name_panels_that_exist(self):
        self.assertEqual(set(ZERO_IS_FINE) - {str(query) for query in queries()}, set())

    def test_every_recording_rule_has_a_value_and_no_rule_fails(self):
        groups = json.loads(get(f"{self.prometheus}/api/v1/rules"))["data"]["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        self.assertGreater(len(rules), 20)
        self.assertEqual([rule["name"] for rule in rules if rule["health"] != "ok"], [])
        recorded = [rule["name"] for rule in rules if rule["type"] == "recording"]
        empty = [name for name in recorded if not values(instant(self.prometheus, name))]
        self.assertEqual(empty, [])

    def test_alerts_see_what_the_load_did(self):
        alerts = json.loads(get(f"{self.prometheus}/api/v1/alerts"))["data"]["alerts"]
        seen = {alert["labels"]["alertname"]: alert["state"] for alert in alerts}
        self.assertEqual(seen.get("TollgateConfigReloadFailed"), "firing", seen)
        # these wait for their time to pass
        for name in [
            "TollgateErrorBudgetBurnFast",
            "TollgateBackendDown",
            "TollgateUnpricedTraffic",
        ]:
            self.assertIn(name, seen)
        for name in ["TollgateDown", "TollgateLedgerRowsLost", "TollgateLedgerBacklog"]:
            self.assertNotIn(name, seen)

    def run_query(self, query) -> list[float]:
        text = filled(query.text)
        if query.instant:
            return values(instant(self.prometheus, text))
        return values(over_time(self.prometheus, text))


def start_prometheus(folder: Path, target: str) -> tuple[str, Program]:
    """Prometheus as it is shipped, but for the address of the gateway and its haste."""
    config = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(ROOT / "deploy/prometheus" / name) for name in config["rule_files"]]
    for job in config["scrape_configs"]:
        job["static_configs"] = [{"targets": [target]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{free_port()}"
    command = ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data"]
    command += [f"--web.listen-address={address}"]
    program = Program("prometheus", command, folder, {})
    program.wait_for("readiness", lambda: status(f"http://{address}/-/ready") == 200)
    return f"http://{address}", program


def instant(prometheus: str, text: str) -> list:
    return ask(prometheus, "query", query=text)


def over_time(prometheus: str, text: str) -> list:
    end = time.time()
    return ask(prometheus, "query_range", query=text, start=end - 30, end=end, step=5)


def ask(prometheus: str, path: str, **what) -> list:
    answer = json.loads(get(f"{prometheus}/api/v1/{path}?{urllib.parse.urlencode(what)}"))
    return answer["data"]["result"]


def values(result: list) -> list[float]:
    """Every value of a result that is a number."""
    pairs = [pair for it in result for pair in it.get("values", [it.get("value")])]
    numbers = [float(pair[1]) for pair in pairs if pair]
    return [number for number in numbers if math.isfinite(number)]
