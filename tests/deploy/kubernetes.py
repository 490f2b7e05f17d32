"""The manifests of deploy/kubernetes/: against Kubernetes' schemas, and against each other. They
are not run on a cluster here."""

import json
import re
import shutil
import tempfile
from pathlib import Path

import files
import yaml
from files import DEPLOY, LEDGER_SECONDS, TOOLS, parse, run
from panels import ROOT

FOLDER = DEPLOY / "kubernetes"


def manifests() -> dict[tuple[str, str], dict]:
    """Every resource of the kustomization, by kind and name."""
    names = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    parts = [part for name in names for part in parse(FOLDER / name)]
    return {(part["kind"], part["metadata"]["name"]): part for part in parts}


class Kubernetes(files.Files):
    """What can be known without a cluster."""

    def setUp(self):
        self.all = manifests()
        self.pod = self.all["StatefulSet", "tollgate"]["spec"]["template"]["spec"]
        self.container = self.pod["containers"][0]
        self.config = self.all["ConfigMap", "tollgate"]["data"]["tollgate.yaml"]

    def test_every_file_is_listed_and_every_listed_file_is_there(self):
        there = {path.name for path in FOLDER.glob("*.yaml")} - {"kustomization.yaml"}
        listed = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
        self.assertEqual(set(listed), there)

    def test_kubernetes_own_schemas_take_them(self):
        # what the Prometheus operator reads is not Kubernetes' own
        foreign = ["kustomization.yaml", "servicemonitor.yaml", "prometheusrule.yaml"]
        paths = [str(path) for path in FOLDER.glob("*.yaml") if path.name not in foreign]
        done = run(str(TOOLS / "kubernetes-validate"), "--strict", "--quiet", *paths)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_kustomize_takes_them_where_it_is_installed(self):
        if not shutil.which("kubectl"):
            self.skipTest("kubectl is not installed")
        done = run("kubectl", "kustomize", str(FOLDER))
        self.assertEqual(done.returncode, 0, done.stderr)
        built = [part for part in yaml.safe_load_all(done.stdout) if part]
        self.assertEqual(len(built), len(self.all))

    def test_the_pod_fits_the_restricted_profile(self):
        pod, container = self.pod["securityContext"], self.container["securityContext"]
        self.assertTrue(pod["runAsNonRoot"])
        self.assertEqual(pod["seccompProfile"], {"type": "RuntimeDefault"})
        self.assertIs(container["allowPrivilegeEscalation"], False)
        self.assertEqual(container["capabilities"], {"drop": ["ALL"]})
        self.assertTrue(container["readOnlyRootFilesystem"])
        self.assertFalse(self.pod["automountServiceAccountToken"])
        self.assertFalse(any(key.startswith("host") for key in self.pod))
        labels = self.all["Namespace", "tollgate"]["metadata"]["labels"]
        self.assertEqual(labels["pod-security.kubernetes.io/enforce"], "restricted")

    def test_the_user_is_the_one_of_the_image(self):
        user = f"USER {self.pod['securityContext']['runAsUser']}:"
        self.assertIn(user, (ROOT / "Dockerfile").read_text())

    def test_there_is_time_to_drain(self):
        server = yaml.safe_load(self.config)["server"]
        seconds = [int(server[key].removesuffix("s")) for key in ["drain_delay", "drain_timeout"]]
        grace = self.pod["terminationGracePeriodSeconds"]
        self.assertGreaterEqual(grace, sum(seconds) + LEDGER_SECONDS)
        # an unready replica is noticed before it stops accepting
        probe = self.container["readinessProbe"]
        self.assertLess(probe["periodSeconds"] * probe["failureThreshold"], seconds[0])

    def test_probes_ask_the_paths_that_there_are(self):
        paths = {
            kind: self.container[kind]["httpGet"]["path"]
            for kind in self.container
            if "Probe" in kind
        }
        want = {
            "readinessProbe": "/readyz",
            "livenessProbe": "/healthz",
            "startupProbe": "/healthz",
        }
        self.assertEqual(paths, want)

    def test_mounts_lead_to_what_the_configuration_names(self):
        mounts = {it["name"]: it for it in self.container["volumeMounts"]}
        self.assertFalse(
            [it for it in mounts.values() if "subPath" in it], "subPath is never renewed"
        )
        volumes = {it["name"] for it in self.pod["volumes"]}
        claims = self.all["StatefulSet", "tollgate"]["spec"]["volumeClaimTemplates"]
        self.assertEqual(set(mounts), volumes | {it["metadata"]["name"] for it in claims})
        named = {str(Path(path).parent) for path in re.findall(r"\$\{file:([^}]+)\}", self.config)}
        self.assertEqual(named, {mounts["secrets"]["mountPath"]})
        declared = re.search(r"VOLUME (\[.*\])", (ROOT / "Dockerfile").read_text()).group(1)
        self.assertEqual(json.loads(declared), [mounts["ledger"]["mountPath"]])

    def test_the_document_creates_every_secret_that_is_named(self):
        text = (ROOT / "docs/deploy.md").read_text()
        names = [Path(path).name for path in re.findall(r"\$\{file:([^}]+)\}", self.config)]
        self.none(
            name
            for name in names
            if f"--from-literal={name}=" not in text and f"--from-file={name}" not in text
        )

    def test_selectors_find_what_they_are_for(self):
        labels = self.all["StatefulSet", "tollgate"]["spec"]["template"]["metadata"]["labels"]
        for kind in ["StatefulSet", "PodDisruptionBudget"]:
            self.assertEqual(self.all[kind, "tollgate"]["spec"]["selector"]["matchLabels"], labels)
        policy = self.all["NetworkPolicy", "tollgate"]["spec"]
        self.assertEqual(policy["podSelector"]["matchLabels"], labels)
        ports = {port["name"] for port in self.container["ports"]}
        for name in ["tollgate", "tollgate-admin"]:
            service = self.all["Service", name]["spec"]
            self.assertEqual(service["selector"], labels)
            self.assertLessEqual({port["targetPort"] for port in service["ports"]}, ports)

    def test_prometheus_scrapes_the_admin_service_under_the_name_of_the_rules(self):
        monitor = self.all["ServiceMonitor", "tollgate"]["spec"]
        service = self.all["Service", "tollgate-admin"]
        labels = service["metadata"]["labels"]
        self.assertLessEqual(monitor["selector"]["matchLabels"].items(), labels.items())
        self.assertEqual(labels[monitor["jobLabel"]], "tollgate")
        ports = {port["name"] for port in service["spec"]["ports"]}
        self.assertEqual({it["port"] for it in monitor["endpoints"]}, ports)

    def test_the_operators_rules_are_the_rules_of_the_files(self):
        spec = self.all["PrometheusRule", "tollgate"]["spec"]
        paths = sorted(files.RULES.glob("*.yml"))
        groups = [group for path in paths for group in yaml.safe_load(path.read_text())["groups"]]
        self.assertEqual(spec["groups"], groups, "run deploy/kubernetes/rules.sh")

    def test_the_gateway_takes_the_configuration(self):
        with tempfile.TemporaryDirectory() as folder:
            files.check_configuration(self, self.config, Path(folder), {})
