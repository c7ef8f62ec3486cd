"""Boxes for the fleet test: each with a network namespace, a folder, an environment and three running services of its
own.

Not containers: they share this machine's programs. What Ansible sees is a host that it reaches by "ssh" (`enter.sh`)
and that has nothing in common with the others but a bridge to the organisation's enrolment service.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import msgspec
import numpy as np

from device.config import BoxConfig, Config, GatewayConfig, VisionConfig
from tests.gateway.test_server import self_signed

REPOSITORY = Path(__file__).resolve().parents[2]
BRIDGE = "vbxfleet"
GATE = "10.77.0.1"


def do(*command: str | Path, **options: object) -> str:
    """A command that must succeed; its standard output."""
    ended = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)  # type: ignore[call-overload]
    assert ended.returncode == 0, f"{command}: {ended.stdout[-2000:]} {ended.stderr[-2000:]}"
    return str(ended.stdout)


@dataclass
class Fleet:
    """`folder` holds everything; `names` are the namespaces and Ansible's hosts."""

    folder: Path
    names: list[str]

    @property
    def dependencies(self) -> Path:
        """The installed packages of this environment, without Vouchbox itself."""
        return self.folder / "dependencies"

    def box(self, name: str) -> Path:
        return self.folder / name

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {
            "FLEET_FOLDER": str(self.folder),
            "FLEET_DEPENDENCIES": str(self.dependencies),
            "ANSIBLE_CONFIG": str(REPOSITORY / "provisioning/fleet/ansible.cfg"),
            "ANSIBLE_LOCAL_TEMP": str(self.folder / "ansible"),
            "PYTHONPATH": str(REPOSITORY),
        }

    def inside(self, name: str, *command: str | Path) -> str:
        """A command in a box."""
        line = " ".join(f"'{part}'" for part in command)
        return do(REPOSITORY / "tests/fleet/enter.sh", name, line, env=self.environment)

    def provision(self, name: str, *arguments: str | Path) -> dict[str, object]:
        """`vouchbox-provision … --json` of the version that runs in a box."""
        program = self.box(name) / "opt/current/bin/vouchbox-provision"
        found = json.loads(self.inside(name, program, *arguments, "--json"))
        assert isinstance(found, dict)
        return found

    def ledger(self, name: str) -> list[str]:
        """The rows of a box's ledger, as JSON."""
        program = self.box(name) / "opt/current/bin/vouchbox-provision"
        return self.inside(name, program, "ledger", "export").splitlines()

    def current(self, name: str) -> str:
        return (self.box(name) / "opt/current").resolve().name

    # --- Up and down ---

    def up(self) -> None:
        """Namespaces, a bridge, folders."""
        (self.folder / "ansible").mkdir()
        self._link_dependencies()
        do("ip", "link", "add", BRIDGE, "type", "bridge")
        do("ip", "address", "add", f"{GATE}/24", "dev", BRIDGE)
        do("ip", "link", "set", BRIDGE, "up")
        for number, name in enumerate(self.names):
            self._network(name, number)
            self._folders(name)

    def _network(self, name: str, number: int) -> None:
        do("ip", "netns", "add", name)
        do("ip", "link", "add", f"vbx{number}", "type", "veth", "peer", "name", "eth0", "netns", name)
        do("ip", "link", "set", f"vbx{number}", "master", BRIDGE, "up")
        for command in (("link", "set", "lo", "up"), ("link", "set", "eth0", "up")):
            do("ip", "-n", name, *command)
        do("ip", "-n", name, "address", "add", f"10.77.0.{10 + number}/24", "dev", "eth0")

    def _folders(self, name: str) -> None:
        box = self.box(name)
        for part in ("run", "state/models", "opt/releases", "camera"):
            (box / part).mkdir(parents=True)
        (box / "run").chmod(0o700)
        cv2.imwrite(str(box / "camera/1.png"), np.full((480, 640, 3), 128, np.uint8))
        for model in (REPOSITORY / "models/installed").glob("*.tflite"):
            shutil.copy(model, box / "state/models")
        # Half of the fleet speaks TLS, as every box does that is reached over a network.
        tls = [str(path) for path in self_signed(box)] if self.names.index(name) % 2 else ["", ""]
        config = Config(
            box=BoxConfig(runtime=str(box / "run"), state=str(box / "state")),
            vision=VisionConfig(camera=f"emulated:{box / 'camera'}"),
            gateway=GatewayConfig(certificate=tls[0], private_key=tls[1]),
        )
        (box / "config.toml").write_bytes(msgspec.toml.encode(config))
        stop, restart = box / "stop", box / "restart"
        stop.write_text(
            f"#!/bin/bash\n[ -f {box}/pid ] && kill $(cat {box}/pid) 2>/dev/null && "
            f"timeout 20 tail --pid=$(cat {box}/pid) -f /dev/null\nrm -f {box}/run/gateway.json {box}/pid\n"
        )
        stop.chmod(0o755)
        restart.write_text(
            f"#!/bin/bash\n{stop}\n"
            f"setsid {box}/opt/current/bin/vouchbox serve --config {box}/config.toml >>{box}/log 2>&1 </dev/null &\n"
            f"echo $! >{box}/pid\n"
        )
        restart.chmod(0o755)

    def _link_dependencies(self) -> None:
        self.dependencies.mkdir()
        for entry in Path(cv2.__file__).parents[1].iterdir():
            if not entry.name.startswith(("vouchbox", "__editable__", "_vouchbox")):
                (self.dependencies / entry.name).symlink_to(entry)

    def down(self) -> None:
        """Ends what was started, by its id, and takes the namespaces away."""
        for name in self.names:
            pid = self.box(name) / "pid"
            if pid.exists():
                try:
                    os.kill(int(pid.read_text()), signal.SIGTERM)
                except ProcessLookupError:
                    pass
            subprocess.run(["ip", "netns", "delete", name], capture_output=True)
        subprocess.run(["ip", "link", "delete", BRIDGE], capture_output=True)

    # --- Releases and inventory ---

    def build(self, version: str) -> Path:
        """A release's folder with the wheel of this checkout under another version; not signed yet."""
        source, release = self.folder / f"source-{version}", self.folder / f"release-{version}"
        source.mkdir()
        for part in ("device", "models", "provisioning"):
            ignored = shutil.ignore_patterns("__pycache__", "installed", "training", "runs")
            shutil.copytree(REPOSITORY / part, source / part, ignore=ignored)
        for part in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(REPOSITORY / part, source)
        init = source / "device/__init__.py"
        lines = init.read_text().splitlines(keepends=True)
        init.write_text("".join(f'__version__ = "{version}"\n' if "__version__" in line else line for line in lines))
        do(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", release, source)
        return release

    def inventory(self, accepted: list[str]) -> Path:
        """Ansible's."""
        hosts = {
            name: {
                "vouchbox_base": str(self.box(name) / "opt"),
                "vouchbox_config": str(self.box(name) / "config.toml"),
                "vouchbox_restart": str(self.box(name) / "restart"),
                "vouchbox_stop": str(self.box(name) / "stop"),
                "vouchbox_policy_folder": str(self.box(name) / "policies"),
            }
            for name in self.names
        }
        everywhere = {
            "ansible_connection": "ssh",
            "ansible_ssh_executable": str(REPOSITORY / "tests/fleet/enter.sh"),
            "ansible_ssh_transfer_method": "piped",
            "ansible_remote_tmp": str(self.folder / "ansible"),
            "ansible_python_interpreter": sys.executable,
            "ansible_become": False,
            "vouchbox_accept": accepted,
            "vouchbox_health_retries": 60,
        }
        path = self.folder / "inventory.json"
        path.write_text(json.dumps({"boxes": {"hosts": hosts, "vars": everywhere}}))
        return path
