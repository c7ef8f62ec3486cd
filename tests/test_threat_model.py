"""Every row of the threat model names a test that exists.

python -m tests.test_threat_model        prints them, for `make test-threats`, which runs them all
"""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
DOCUMENT = REPOSITORY / "docs/threat-model.md"


def rows() -> list[list[str]]:
    lines = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if row[0] not in ("attack", "---")]


@pytest.mark.parametrize("row", rows(), ids=lambda row: row[0][:40])
def test_the_row_names_a_test_that_exists(row):
    assert len(row) == 3
    name = re.fullmatch(r"`(tests/[\w/]+\.py)((?:::\w+)+)`", row[2])
    assert name, f"no test is named: {row[2]!r}"
    source = (REPOSITORY / name[1]).read_text()
    for part in name[2].split("::")[1:]:
        assert re.search(rf"^\s*(?:async )?(?:def|class) {part}\b", source, re.MULTILINE), f"{name[1]} has no {part}"


def test_all_five_attackers_are_there():
    headings = re.findall(r"^## (.+)$", DOCUMENT.read_text(), re.MULTILINE)
    for attacker in ("person at the camera", "network", "relying party", "thief with the box", "operator"):
        assert any(attacker in heading for heading in headings), attacker
    assert len(rows()) >= 30


if __name__ == "__main__":
    print(*dict.fromkeys(row[2].strip("`") for row in rows()))
