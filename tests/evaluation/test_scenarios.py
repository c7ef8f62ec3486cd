"""Scenarios played many times: what counts as wanted, what a seed changes, and short real runs."""

import msgspec
import pytest

from device.errors import ConfigurationError, ModelError
from device.evaluation.scenarios import (
    HONEST,
    Course,
    Run,
    Tally,
    is_attack,
    play,
    species_scenarios,
    varied,
)
from device.notary.policy import load_policies
from device.protocol import Check, CheckReport, Outcome, Reason, Result
from device.vision.camera.emulation.scenario import Species, load_scenario

VERIFIED, REJECTED, INCONCLUSIVE = Outcome.VERIFIED, Outcome.REJECTED, Outcome.INCONCLUSIVE


def tally(attack, *outcomes):
    report = CheckReport(Check.LIVENESS_CHALLENGE, Result.FAIL, Reason.CHALLENGE_IGNORED, "test")
    runs = [Run(seed, outcome, {report.check: report}) for seed, outcome in enumerate(outcomes)]
    return Tally("made up", attack, runs)


def test_an_attack_has_to_be_rejected_every_time():
    assert tally(True, *[REJECTED] * 50).as_wanted
    assert not tally(True, *[REJECTED] * 49, INCONCLUSIVE).as_wanted
    assert not tally(True, *[REJECTED] * 49, VERIFIED).as_wanted


def test_the_honest_person_has_to_be_accepted_in_48_of_50():
    assert tally(False, *[VERIFIED] * 48, REJECTED, INCONCLUSIVE).as_wanted
    assert not tally(False, *[VERIFIED] * 47, *[REJECTED] * 3).as_wanted


def test_the_counts_name_the_seeds_that_went_wrong():
    told = tally(True, REJECTED, VERIFIED, REJECTED, INCONCLUSIVE).as_json()
    assert (told["accepted"], told["rejected"], told["inconclusive"]) == (1, 2, 1)
    assert told["unwanted"] == [1, 3]
    assert told["checks"] == {"liveness.challenge": {"challenge_ignored": 4}}
    low, high = told["accepted_interval"]
    assert 0 < low < 0.25 < high < 1


def test_every_species_is_played():
    names = species_scenarios()
    assert names[0] == HONEST
    assert not is_attack(HONEST)
    species = {load_scenario(name).person.attack for name in names[1:]}
    assert species == set(Species) - {Species.NONE}


def test_a_seed_is_another_person_in_another_light_and_always_the_same():
    scenario = load_scenario("attack_paper_mask")
    one, again, other = (varied(scenario, seed) for seed in (1, 1, 2))
    assert one == again != other
    assert {one.person.face, one.person.second_face} == {"astronaut", "grace_hopper"}
    assert one.document.portrait == one.person.face
    assert varied(load_scenario(HONEST), 1).person.second_face == ""


def test_only_liveness_decides_where_only_the_selfie_is_played():
    policy = load_policies()["demo"]
    assert set(Course(policy, False, (640, 480)).rules.rules.required) == {
        Check.LIVENESS_CHALLENGE,
        Check.LIVENESS_PARALLAX,
    }
    assert Course(policy, True, (640, 480)).rules is policy
    bare = msgspec.structs.replace(policy, rules=msgspec.structs.replace(policy.rules, required=(Check.DOCUMENT_READ,)))
    with pytest.raises(ConfigurationError, match="no liveness check"):
        _ = Course(bare, False, (640, 480)).rules


@pytest.fixture(scope="module")
def instruments():
    from device.vision.inference.manifest import load_manifest
    from device.vision.instruments import load_instruments

    try:
        return load_instruments(load_manifest(), 1)
    except ModelError as error:
        pytest.skip(str(error))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "outcome", "check", "reasons"),
    [
        (HONEST, VERIFIED, Check.LIVENESS_PARALLAX, {None}),
        ("attack_mesh_warp_injected", REJECTED, Check.LIVENESS_CHALLENGE, {Reason.INJECTED_FRAMES}),
        (  # the wrong movement may happen to be the next one
            "attack_replay_wrong_challenge",
            REJECTED,
            Check.LIVENESS_CHALLENGE,
            {Reason.CHALLENGE_WRONG_MOVEMENT, Reason.CHALLENGE_WRONG_ORDER},
        ),
    ],
)
def test_a_run_ends_as_its_scenario_says(instruments, name, outcome, check, reasons):
    run = play(name, 1, instruments, Course(load_policies()["demo"], False, (640, 480)))
    assert run.outcome is outcome
    assert run.checks[check].reason in reasons
