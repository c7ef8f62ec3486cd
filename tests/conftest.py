"""What every test may ask for."""

from pathlib import Path

import pytest
from hypothesis import settings

# Wall-clock deadlines of single examples say more of the machine's load than of the code; pytest-timeout is above them.
settings.register_profile("vouchbox", deadline=None)
settings.load_profile("vouchbox")

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The data and models that are not part of the project, beside the checkout; the test is skipped without them."""
    path = REPOSITORY.parent / "shared"
    if not (path / "data").is_dir():
        pytest.skip("../shared is not here: this test measures on data that is not part of the project")
    return path
