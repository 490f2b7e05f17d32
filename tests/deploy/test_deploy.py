#!/usr/bin/env python3
"""Everything in deploy/: the files against their rules, and the dashboards on a loaded gateway.

    test_deploy.py PATH_OF_TOLLGATE [WORD ...]      all cases, or those whose sentence has a word

Run by the Python that setup.sh installs.
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "real"))

import files
import kubernetes
import live
import report

# what the report runs
Dashboards, Alerts = files.Dashboards, files.Alerts
Compose, Images = files.Compose, files.Images
Kubernetes = kubernetes.Kubernetes
Panels = live.Panels

if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    files.BINARY = live.BINARY = str(Path(sys.argv[1]).resolve())
    sys.exit(report.run(sys.modules["__main__"], sys.argv[2:]))
