"""Turns what the notary asked for into the stages of a session.

In: a `StartCheck` and the worker's instruments. Out: a `Plan`. A stage whose checks nobody asked for is left out.
"""

from __future__ import annotations

from datetime import date

from device.protocol import Check, Stage, StartCheck
from device.vision.document.fusion import DocumentFusion
from device.vision.face.matcher import FaceMatcher
from device.vision.instruments import Instruments
from device.vision.liveness.challenge import Challenge
from device.vision.liveness.injection import InjectionWatch
from device.vision.liveness.parallax import Parallax
from device.vision.session import Plan, StageMaker
from device.vision.stages.base import Findings
from device.vision.stages.document import DocumentSides, DocumentStage, DocumentTools
from device.vision.stages.holding import HoldingStage
from device.vision.stages.presentation import PresentationVotes
from device.vision.stages.selfie import SelfieStage, SelfieTask, SelfieTools

SELFIE_CHECKS = frozenset({Check.FACE_MATCH, Check.LIVENESS_PASSIVE, Check.LIVENESS_CHALLENGE, Check.LIVENESS_PARALLAX})


def make_plan(task: StartCheck, instruments: Instruments, today: date) -> Plan:
    """The stages that `task.checks` need, in the order in which a person goes through them."""
    embedder = instruments.embedder(task.embedder)
    matcher = FaceMatcher(embedder.entry.thresholds) if embedder is not None else None
    sides: list[DocumentSides] = []

    def front(findings: Findings) -> DocumentStage:
        votes = PresentationVotes() if Check.DOCUMENT_PRESENTATION in task.checks else None
        tools = DocumentTools(instruments.reader, instruments.faces, embedder, votes, matcher)
        sides.append(DocumentSides(tools, DocumentFusion(today, task.limits), findings))
        return DocumentStage(Stage.DOCUMENT, sides[0], task.documents, findings)

    def back(findings: Findings) -> DocumentStage:
        return DocumentStage(Stage.DOCUMENT_BACK, sides[0], task.documents, findings)

    def holding(findings: Findings) -> HoldingStage:
        return HoldingStage(instruments.faces, embedder, matcher, findings)

    def selfie(findings: Findings) -> SelfieStage:
        name = embedder.entry.name if embedder is not None else ""
        passive = instruments.detector(task.attack_detector)
        tools = SelfieTools(instruments.faces, instruments.eyes, embedder, matcher, passive, name)
        attempts = [
            Challenge(task.challenge_seed, task.challenge_steps, task.movements, attempt=attempt)
            for attempt in range(task.limits.retries + 1)
        ]
        return SelfieStage(tools, SelfieTask(task.fmr, task.scores), attempts, Parallax(), InjectionWatch(), findings)

    stages: list[tuple[StageMaker, float]] = [(front, task.limits.document), (back, task.limits.document)]
    if Check.HOLDING in task.checks:
        stages.append((holding, task.limits.holding))
    if SELFIE_CHECKS & set(task.checks):
        stages.append((selfie, task.limits.selfie))
    return Plan(stages)
