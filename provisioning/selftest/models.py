"""The models' findings: are the bytes the manifest's, and does each give the answer that it should.

In: a manifest. Out: one finding a model.
"""

from __future__ import annotations

from device.errors import VouchboxError
from device.vision.inference.install import ModelStatus, State, verify
from device.vision.inference.manifest import Manifest
from provisioning.selftest.known_answers import CORRELATION, Answer, agreement, answer_of, load_answers
from provisioning.selftest.report import Finding, finding

_REPAIR = "`vouchbox models install`, or install Vouchbox again"


def look_at_models(manifest: Manifest, answers: dict[str, Answer] | None = None) -> list[Finding]:
    """One finding for each model in the manifest."""
    known = load_answers() if answers is None else answers
    return [_finding(manifest, status, known.get(status.entry.name)) for status in verify(manifest)]


def _finding(manifest: Manifest, status: ModelStatus, expected: Answer | None) -> Finding:
    entry, name = status.entry, f"models.{status.entry.name}"
    if status.state is State.WRONG:
        return finding(name, False, status.problem, _REPAIR)
    if status.state is State.MISSING:
        good = None if entry.optional else False
        return finding(name, good, f"{entry.file} is not installed", _REPAIR)
    if expected is None or expected.sha256 != entry.sha256:
        return finding(name, True, f"{entry.file} is right; no known answer is kept for this version")
    try:
        alike = agreement(expected, answer_of(manifest, entry))
    except VouchboxError as error:
        return finding(name, False, str(error), _REPAIR)
    text = f"{entry.file} is right, and answers {'as it should' if alike >= CORRELATION else 'otherwise'}"
    advice = "the runtime or the processor does not compute rightly: another board, or another ai-edge-litert"
    return finding(name, alike >= CORRELATION, text, advice, figures={"agreement": alike})
