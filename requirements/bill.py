"""The bill of materials of one kind of box (CycloneDX 1.6, JSON): the product, every locked wheel, every model.

    python requirements/bill.py requirements/box-py3.13-aarch64.lock OUT.cdx.json

In: a lock; the models' manifest of this checkout. Out: a file that holds to CycloneDX's schema, the same for the same
input. Run in the supply-chain environment (`make sbom`), which has cyclonedx-bom.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
VERSION = "1.6"


def wheels(lock: Path) -> dict[str, Any]:
    """The bill of a lock, as cyclonedx-py makes it. Exits with its words if it does not."""
    command = [str(Path(sys.executable).with_name("cyclonedx-py")), "requirements", "--output-reproducible"]
    command += ["--spec-version", VERSION, "--output-format", "JSON", "--output-file", "-", str(lock)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if ended.returncode != 0:
        sys.exit(f"{lock}: {ended.stderr.strip()}")
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def product() -> dict[str, Any]:
    """Vouchbox itself."""
    lines = (ROOT / "device/__init__.py").read_text(encoding="utf-8").splitlines()
    version = next(line.split('"')[1] for line in lines if line.startswith("__version__"))
    licence = [{"license": {"id": "Apache-2.0"}}]
    return {"type": "application", "bom-ref": "vouchbox", "name": "vouchbox", "version": version, "licenses": licence}


def models() -> list[dict[str, Any]]:
    """Every model of the manifest, by the hash without which a box does not load it."""
    manifest = tomllib.loads((ROOT / "models/manifest.toml").read_text(encoding="utf-8"))
    return [
        {
            "type": "machine-learning-model",
            "bom-ref": f"model/{entry['name']}",
            "name": entry["name"],
            "hashes": [{"alg": "SHA-256", "content": entry["sha256"]}],
            "licenses": [{"license": {"name": entry["licence"]}}],
            "description": f"{entry['task']}; trained on: {entry['training_data']}",
        }
        for entry in manifest["model"]
    ]


def require_schema(text: str) -> None:
    """Exits with what is wrong unless `text` holds to CycloneDX's schema."""
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    if wrong := JsonStrictValidator(SchemaVersion.from_version(VERSION)).validate_str(text):
        sys.exit(f"the bill does not hold to CycloneDX {VERSION}: {wrong}")


def main() -> None:
    """The command line."""
    lock, out = Path(sys.argv[1]), Path(sys.argv[2])
    bill = wheels(lock)
    bill.setdefault("metadata", {})["component"] = product()
    bill["components"] = [*bill["components"], *models()]
    text = json.dumps(bill, indent=2, sort_keys=True) + "\n"
    require_schema(text)
    out.write_text(text, encoding="utf-8")
    print(f"{out}: {len(bill['components'])} components")


if __name__ == "__main__":
    main()
