"""The fleet's files: playbooks for Ansible, alert rules for Prometheus, a dashboard of metrics that exist."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest

from tests.conftest import REPOSITORY

FLEET = REPOSITORY / "provisioning/fleet"
METRICS = (REPOSITORY / "device/gateway/metrics.py").read_text()


def test_ansible_takes_the_playbooks() -> None:
    playbook = shutil.which("ansible-playbook")
    if playbook is None:
        pytest.skip("ansible-core is not installed (extra [fleet])")
    for file in FLEET.glob("*.yml"):
        if not file.name.startswith("inventory"):
            command = [playbook, "--syntax-check", "-i", str(FLEET / "inventory.example.yml"), str(file)]
            subprocess.run(command, check=True, capture_output=True, cwd=FLEET)


def test_prometheus_takes_the_rules() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (apt install prometheus)")
    for command in (("check", "rules", "alerts.yml"), ("test", "rules", "alerts_test.yml")):
        subprocess.run([promtool, *command], check=True, capture_output=True, cwd=FLEET / "prometheus")
    configuration = [promtool, "check", "config", "--syntax-only", "prometheus.yml"]
    subprocess.run(configuration, check=True, capture_output=True, cwd=FLEET / "prometheus")


def test_only_metrics_that_exist_are_asked_for() -> None:
    asked = (FLEET / "prometheus/alerts.yml").read_text() + (FLEET / "grafana/vouchbox.json").read_text()
    names = set(re.findall(r"\bvouchbox_[a-z_]+", asked)) - {"vouchbox_provision"}
    assert names
    for name in names:
        assert re.sub(r"_(total|bucket|sum|count)$", "", name) in METRICS, name


def test_every_alert_says_what_to_do() -> None:
    rules = (FLEET / "prometheus/alerts.yml").read_text()
    assert rules.count("- alert:") == rules.count("summary:") == rules.count("action:") == 8


def test_the_dashboard_is_one() -> None:
    board = json.loads((FLEET / "grafana/vouchbox.json").read_text())
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in board["panels"]]
    assert len(places) == len(set(places)) == 11
    assert len({panel["id"] for panel in board["panels"]}) == 11


def test_a_rollout_stops_at_the_first_failure() -> None:
    rollout = (FLEET / "rollout.yml").read_text()
    assert "max_fail_percentage: 0" in rollout
    assert "any_errors_fatal: true" in rollout
    assert "serial:" in rollout


def names_in(tasks: str) -> list[str]:
    """The names of a file's tasks, in order."""
    text = (FLEET / f"roles/vouchbox/tasks/{tasks}.yml").read_text()
    return re.findall(r"^ *- name: (.*)$", text, re.MULTILINE)


def test_what_is_cut_off_is_known_to_the_next_run() -> None:
    """Noted before the box is opened or switched, and forgotten once it runs again."""
    assert names_in("policies_use") == [
        *("Note what the box was", "Stop", "Open it", "Use them", "Seal it again", "Restart", "Forget what is done")
    ]
    upgrade = names_in("upgrade")
    steps = ["Note the switch", "Switch to the new version", "Restart", "Look", "Clear up"]
    assert [name for name in upgrade if name in steps] == steps
    for tasks in ("upgrade", "policies"):
        assert names_in(tasks)[-1] == "Look at it, changed or not"


def test_a_head_is_kept_before_the_box_is_doubted() -> None:
    head = names_in("head")
    assert head.index("Keep the head") < head.index("The ledger was not rewritten") < head.index("It is the newest")
