"""What grows with the number of boxes grows as the operations page says; a hundred thousand of them on demand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.scale.simulate import simulate

BOXES = int(os.environ.get("VOUCHBOX_BOXES", "1500"))
"""`VOUCHBOX_BOXES=100000 pytest tests/scale` (`make test-scale`) takes the organisation of the operations page."""


@pytest.mark.timeout(1200)
def test_an_organisation_of_many_boxes(tmp_path: Path) -> None:
    costs = simulate(tmp_path, BOXES, 0.01)
    assert costs.wrong == 0, "every box has the status that it was given"
    assert costs.revoked == round(BOXES * 0.01)
    assert costs.certificate_bytes < 900
    assert costs.registry_bytes < BOXES * 2000 + 10_000_000
    assert costs.list_bytes < 3000 + BOXES / 8 * 4 / 3 * 1.4
    assert costs.issue_ms < 20
    assert costs.list_read_ms < 2000
