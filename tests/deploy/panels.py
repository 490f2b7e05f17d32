"""The dashboards, panel by panel, and what their queries name."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
DASHBOARDS = sorted((ROOT / "deploy/grafana/dashboards").glob("*.json"))
# what Grafana would fill in; the windows fit a load of half a minute
VARIABLES = {"$__rate_interval": "20s", "$__interval": "5s", "$__range": "5m"}


@dataclass(frozen=True)
class Query:
    """One query of one panel."""

    dashboard: str
    panel: str
    letter: str
    text: str
    instant: bool

    def __str__(self) -> str:
        return f"{self.dashboard} / {self.panel} / {self.letter}"

    def metrics(self) -> set[str]:
        return metrics(self.text)


def load(path: Path) -> dict:
    return json.loads(path.read_text())


def panels(dashboard: dict) -> list[dict]:
    """Everything that shows data."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def queries() -> list[Query]:
    found = []
    for path in DASHBOARDS:
        for panel in panels(load(path)):
            for target in panel["targets"]:
                place = (path.stem, panel["title"], target["refId"])
                found.append(Query(*place, target["expr"], target.get("instant", False)))
    return found


def filled(text: str) -> str:
    """A query as Grafana would send it with every variable on All."""
    for variable, value in VARIABLES.items():
        text = text.replace(variable, value)
    return re.sub(r"\$[a-z]+\b", ".*", text)


def metrics(text: str) -> set[str]:
    """Names of metrics in a query: tollgate's own, and recorded ones, which have colons."""
    text = re.sub(r'"[^"]*"', '""', text)
    own = set(re.findall(r"(?<![\w:])tollgate_[a-z0-9_]+(?![\w:])", text))
    return own | set(re.findall(r"[a-z_]+:[a-z_]+:[a-z0-9_]+", text))


def family(metric: str) -> str:
    """The family of a histogram's series."""
    return re.sub(r"_(bucket|sum|count)$", "", metric)


def documented() -> set[str]:
    """Families of the table in docs/metrics.md."""
    text = (ROOT / "docs/metrics.md").read_text()
    return set(re.findall(r"^\| `(tollgate_[a-z0-9_]+)` \|", text, re.MULTILINE))


def announced() -> set[str]:
    """Families that docs/metrics.md says are not there yet: panels for them may be empty until
    they stand in its table."""
    text = (ROOT / "docs/metrics.md").read_text()
    _, _, rest = text.partition("## Not there yet")
    return {f"tollgate_{name}" for name in re.findall(r"`([a-z]+_[a-z0-9_]+)`", rest)}
