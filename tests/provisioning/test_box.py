"""A box from bare to sealed and back, step by step: each can be repeated, and each says what comes first."""

from __future__ import annotations

import datetime
import json
import shutil
import socket
import tarfile
from pathlib import Path

import cv2
import msgspec
import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from device.config import load_config
from device.errors import ConfigurationError, InputError, LedgerError
from device.gateway.auth import RelyingParties
from device.notary.keys import open_keys
from device.notary.ledger import verify_ledger
from device.notary.policy import PACKAGED, load_policies
from device.notary.requesters import load_requesters, public_pem
from device.notary.seal import Mark, last_mark, require_seal
from device.protocol import CameraKind
from device.status_list import StatusReference
from provisioning.authority import Authority, create_root, issue_leaf, pem
from provisioning.box import Stage, change_config
from provisioning.enrol import check_chain
from provisioning.office import Office
from provisioning.selftest.report import finding
from tests.provisioning.conftest import CAMERA, Bench, facts, run


def snapshot(folder: Path) -> dict[str, bytes]:
    """Every file below, without what SQLite leaves when it has only read."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(("-wal", "-shm"))]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


# --- init ------------------------------------------------------------------------------------------------------------


def test_init_twice_is_init_once(bench: Bench) -> None:
    first = bench.init()
    before = snapshot(bench.state)
    second = bench.init()
    assert (first["changed"], second["changed"]) == (True, False)
    assert first | {"changed": False} == second
    assert snapshot(bench.state) == before
    assert bench.box.stage() is Stage.INITIALISED


def test_a_name_that_is_not_given_is_the_hosts(bench: Bench) -> None:
    said = bench.facts("init", "--keystore", "file", "--state", bench.state)
    assert said["name"] == socket.gethostname()
    assert not bench.facts("init")["changed"]


def test_what_init_writes_is_private(bench: Bench) -> None:
    bench.init()
    for name in ("ueid", "keys/pseudonym.key", "keys/generation-1/key.pem", "keys/generation-1/transport.pem"):
        assert (bench.state / name).stat().st_mode & 0o077 == 0
    assert (bench.state / "keys").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("options", [("--name", "other"), ("--name", "box-1", "--keystore", "tpm")])
def test_another_answer_changes_nothing(bench: Bench, options: tuple[str, ...]) -> None:
    bench.init()
    before = snapshot(bench.folder)
    result = bench.run("init", *options)
    assert result.exit_code == 2
    assert "wipe" in str(result.exception)
    assert snapshot(bench.folder) == before


def test_a_key_store_that_is_not_there_leaves_no_box(bench: Bench) -> None:
    pytest.importorskip("tpm2_pytss")
    result = bench.run(
        "init", "--name", "b", "--keystore", f"tpm:swtpm:path={bench.folder}/none", "--state", bench.state
    )
    assert result.exit_code == 2
    assert bench.box.stage() is Stage.BARE
    assert list((bench.state / "keys").glob("generation-*")) == []
    bench.init()
    assert bench.box.stage() is Stage.INITIALISED


def test_an_installer_that_names_no_key_store_leaves_the_best(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """install.sh writes a configuration before anybody says `init`."""
    monkeypatch.setattr("provisioning.initialise.best_keystore", lambda: "best")
    bench.config.parent.mkdir()
    bench.config.write_text(f'[box]\nstate = "{bench.state}"\n[vision]\ncamera = "{CAMERA}"\n')
    assert "notary.keystore 'best'" in str(bench.run("init", "--name", "box-1").exception)
    bench.config.write_text(f'[box]\nstate = "{bench.state}"\n[notary]\nkeystore = "file"\n')
    assert bench.facts("init", "--name", "box-1")["keystore"] == "file"
    assert bench.facts("init")["keystore"] == "file", "not chosen again"


def test_the_camera_of_a_sealed_box_stays(bench: Bench) -> None:
    bench.enrol()
    bench.seal()
    before = bench.config.read_bytes()
    result = bench.run("init", "--name", "box-1", "--camera", "v4l2:/dev/video5")
    assert (result.exit_code, "unseal" in str(result.exception)) == (2, True)
    assert not bench.facts("init", "--name", "box-1", "--camera", CAMERA)["changed"]
    assert bench.config.read_bytes() == before


@pytest.mark.parametrize(("user", "advice"), [(1000, "run this as root (sudo)"), (0, "look at its owner and mode")])
def test_who_may_not_is_told_so_in_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], user: int, advice: str
) -> None:
    from provisioning import cli

    def refused(**_options: object) -> None:
        raise PermissionError(13, "Permission denied", "/var/lib/vouchbox/keys")

    monkeypatch.setattr(cli, "provision", refused)
    monkeypatch.setattr(cli.os, "geteuid", lambda: user)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said == f"vouchbox-provision: /var/lib/vouchbox/keys: Permission denied; {advice}\n"


# --- enrol -----------------------------------------------------------------------------------------------------------


def test_enrolled_by_a_file(bench: Bench) -> None:
    said = bench.enrol()
    assert said["changed"]
    assert said["issuer"] == load_config(bench.config).notary.issuer == "https://org.example"
    production = open_keys(load_config(bench.config)).production
    assert production is not None
    assert production.health() == ""
    assert (bench.state / "keys" / "pseudonym.key").read_bytes() == (bench.authority / "pseudonym.key").read_bytes()
    assert not list(bench.state.rglob("transport.pem"))
    before = snapshot(bench.state)
    assert not bench.facts("enrol", "--bundle", bench.bundle)["changed"]
    assert snapshot(bench.state) == before


def test_each_step_names_the_one_before(bench: Bench) -> None:
    for command, first in ((("enrol", "--bundle", "x"), "init"), (("selftest",), "init"), (("renew",), "enrol")):
        result = bench.run(*command)
        assert result.exit_code == 2
        assert f"vouchbox-provision {first}" in str(result.exception)
    bench.init()
    result = bench.run("seal", "--use", "research", "--yes")
    assert "vouchbox-provision enrol" in str(result.exception)


def test_another_boxs_bundle_is_refused(bench: Bench, tmp_path: Path) -> None:
    other = Bench(tmp_path / "other")
    shutil.copytree(bench.authority, other.authority)
    other.enrol("box-2")
    bench.init()
    before = snapshot(bench.state)
    result = bench.run("enrol", "--bundle", other.bundle)
    assert result.exit_code == 2
    assert "another box's key" in str(result.exception)
    assert snapshot(bench.state) == before


def test_a_development_certificate_is_refused(bench: Bench) -> None:
    bench.init()
    facts("authority", "issue", bench.authority, bench.request, "--development")
    result = bench.run("enrol", "--bundle", bench.bundle)
    assert "enrolled for production" in str(result.exception)
    assert bench.box.stage() is Stage.INITIALISED


def test_a_chain_that_no_verifier_would_take(bench: Bench, office: Office) -> None:
    from provisioning.office import _open

    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    issuer = _open(bench.authority / "issuing")
    good = issue_leaf(issuer, key, "Box", status=StatusReference(1, "x"))
    now = datetime.datetime.now(datetime.UTC)
    check_chain(good, now)
    for chain, moment, words in (
        (good[:1], now, "do not lead"),
        (good[1:], now, "production"),
        (good, now + datetime.timedelta(days=400), "expired"),
        (good, now - datetime.timedelta(days=2), "set the clock"),
        ((good[0], *_open(bench.authority / "development").chain), now, "do not lead"),
    ):
        with pytest.raises(InputError, match=words):
            check_chain(chain, moment)
    assert pem(good)


def test_a_chain_that_the_notary_could_not_tell_the_gateway(bench: Bench) -> None:
    """An organisation's root with a long RSA key: refused here, and not only when the notary starts."""
    key, root_key = ec.generate_private_key(ec.SECP256R1()), rsa.generate_private_key(65537, 4096)
    units = [f"{number:02}" + 62 * "x" for number in range(12)]
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit) for unit in units])
    now = datetime.datetime.now(datetime.UTC)
    constraints = create_root("x").certificate.extensions
    builder = x509.CertificateBuilder(name, name, root_key.public_key(), 1, now, now + datetime.timedelta(days=9))
    for kind in (x509.BasicConstraints, x509.KeyUsage):
        builder = builder.add_extension(constraints.get_extension_for_class(kind).value, critical=True)
    root = builder.sign(root_key, hashes.SHA256())
    chain = issue_leaf(Authority(root_key, (root,)), key.public_key(), "Box")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="EC keys"):
        check_chain(chain, now + datetime.timedelta(minutes=1))


def test_a_root_that_was_not_written_is_written_by_the_next_run(bench: Bench) -> None:
    """The power went between the two files: releases are verified with the root."""
    bench.enrol()
    root = bench.state / "keys" / "production" / "root.pem"
    before = root.read_bytes()
    root.unlink()
    bench.facts("enrol", "--bundle", bench.bundle)
    assert root.read_bytes() == before


BY_NETWORK = ("--service", "https://y")


@pytest.mark.parametrize(
    "options", [(), ("--bundle", "x", *BY_NETWORK), (*BY_NETWORK, "--code", "c", "--password-file", "p")]
)
def test_enrol_wants_one_way(bench: Bench, options: tuple[str, ...]) -> None:
    bench.init()
    result = bench.run("enrol", *options)
    assert result.exit_code == 2
    assert isinstance(result.exception, InputError)


# --- relying parties -------------------------------------------------------------------------------------------------

ADD = ("relying-party", "add", "bank", "--policy", "standard", "--audience", "https://bank.example")


def test_a_relying_partys_key_for_requests_by_code(bench: Bench, tmp_path: Path) -> None:
    key = tmp_path / "shop.pub"
    made = ec.generate_private_key(ec.SECP256R1()).public_key()
    key.write_text(public_pem(made))
    bench.init()
    assert bench.facts(*ADD, "--request-key", str(key))["changed"]
    file = bench.state / "request-keys.toml"
    assert [(it.id, it.policies) for it in load_requesters(file)] == [("bank", ("standard",))]
    assert bench.facts("relying-party", "remove", "bank", "--yes")["changed"]
    assert load_requesters(file) == ()
    assert not file.exists(), "while it is there the page offers to show a request"


def test_a_relying_party_from_registered_to_removed(bench: Bench) -> None:
    bench.init()
    token = bench.facts(*ADD)["token"]
    gateway = RelyingParties(bench.state / "relying-parties.toml")
    assert gateway.authenticate(token) is not None
    again = bench.facts(*ADD)
    assert (again["changed"], again["token"]) == (False, None)
    assert bench.facts(*ADD, "--monitor")["changed"]
    party = gateway.authenticate(token)
    assert party is not None
    assert party.monitor
    fresh = bench.facts("relying-party", "rotate", "bank", "--yes")["token"]
    assert gateway.authenticate(token) is None
    assert gateway.authenticate(fresh) is not None
    listed = bench.run("relying-party", "list", "--json").stdout
    assert json.loads(listed)["id"] == "bank"
    assert token not in listed
    assert bench.facts("relying-party", "remove", "bank", "--yes")["changed"]
    assert not bench.facts("relying-party", "remove", "bank", "--yes")["changed"]
    assert gateway.authenticate(fresh) is None


def test_a_token_file_is_there_before_it_counts(bench: Bench) -> None:
    bench.init()
    file = bench.folder / "token"
    bench.facts(*ADD, "--token-file", file)
    assert file.stat().st_mode & 0o777 == 0o600
    (bench.state / "relying-parties.toml").unlink()  # as if cut off in between
    bench.facts(*ADD, "--token-file", file)
    gateway = RelyingParties(bench.state / "relying-parties.toml")
    assert gateway.authenticate(file.read_text().strip()) is not None


def test_a_token_file_is_one_relying_partys(bench: Bench) -> None:
    bench.init()
    file = bench.folder / "token"
    bench.facts(*ADD, "--token-file", file)
    before = file.read_bytes()
    other = ("shop", *ADD[3:], "--token-file", file)
    result = bench.run("relying-party", "add", *other)
    assert (result.exit_code, "holds the token of 'bank'" in str(result.exception)) == (2, True)
    bench.facts("relying-party", "add", "shop", *ADD[3:])
    result = bench.run("relying-party", "rotate", "shop", "--yes", "--token-file", file)
    assert (result.exit_code, file.read_bytes()) == (2, before)
    assert len(bench.run("relying-party", "list", "--json").stdout.splitlines()) == 2
    bench.facts("relying-party", "rotate", "bank", "--yes", "--token-file", file)
    assert file.read_bytes() != before


def test_wrong_answers_register_nobody(bench: Bench) -> None:
    bench.init()
    for change in (("--policy", "none-such"), ("--audience", "x" * 3000)):
        result = bench.run(*ADD, *change)
        assert result.exit_code == 2
    assert bench.run("relying-party", "rotate", "bank", "--yes").exit_code == 2
    assert not (bench.state / "relying-parties.toml").exists()


def test_nobody_to_ask_means_yes_must_be_said(bench: Bench) -> None:
    bench.init()
    bench.facts(*ADD)
    result = bench.run("relying-party", "remove", "bank")
    assert result.exit_code == 2
    assert "--yes" in str(result.exception)


# --- policies --------------------------------------------------------------------------------------------------------


def test_policy_check(bench: Bench, tmp_path: Path) -> None:
    bench.init()
    assert bench.run("policy", "check").exit_code == 0
    bad = tmp_path / "policies"
    bad.mkdir()
    shutil.copy(PACKAGED / "standard.toml", bad / "good.toml")
    (bad / "misspelt.toml").write_text("requierd = []\n")
    result = bench.run("policy", "check", bad, "--json")
    assert result.exit_code == 1
    rows = {row["name"]: row["valid"] for row in map(json.loads, result.stdout.splitlines())}
    assert rows == {"good": True, "misspelt": False}
    assert bench.run("policy", "check", tmp_path / "nowhere").exit_code == 1


# --- seal ------------------------------------------------------------------------------------------------------------


def own_policies(bench: Bench) -> Path:
    folder = bench.folder / "policies"
    folder.mkdir()
    shutil.copy(PACKAGED / "standard.toml", folder / "standard.toml")
    replace = msgspec.structs.replace
    change_config(bench.box, lambda c: replace(c, notary=replace(c.notary, policies=str(folder))))
    return folder


def test_sealed_twice_is_sealed_once(bench: Bench) -> None:
    bench.enrol()
    assert bench.seal()["changed"]
    before = snapshot(bench.state), bench.config.read_bytes()
    assert not bench.facts("seal", "--use", "research", "--yes")["changed"]
    assert (snapshot(bench.state), bench.config.read_bytes()) == before
    assert bench.box.stage() is Stage.SEALED
    assert verify_ledger(bench.state / "ledger.sqlite").size == 1


def test_a_sealed_box_has_no_development_key(bench: Bench) -> None:
    from provisioning.authority import ensure_development_identity

    bench.enrol()
    ensure_development_identity(bench.state)
    assert open_keys(load_config(bench.config)).development is not None
    bench.seal()
    assert not (bench.state / "keys" / "development").exists()
    ensure_development_identity(bench.state)  # put back by hand
    keys = open_keys(load_config(bench.config))
    assert keys.development is None
    assert keys.for_camera(CameraKind.LIVE) is keys.production
    with pytest.raises(Exception, match="no key signs"):
        keys.for_camera(CameraKind.EMULATED)


def test_the_notary_does_not_start_with_other_policies(bench: Bench) -> None:
    bench.enrol()
    folder = own_policies(bench)
    bench.seal()
    config, ledger = load_config(bench.config), bench.state / "ledger.sqlite"
    require_seal(config, load_policies(folder), ledger)
    changed = (folder / "standard.toml").read_text()
    (folder / "standard.toml").write_text(changed + "\n# weaker\n")
    with pytest.raises(ConfigurationError, match=r"policies were changed.*standard"):
        require_seal(config, load_policies(folder), ledger)
    assert bench.run("policy", "check").exit_code == 1
    assert bench.run("status").exit_code == 1
    (folder / "standard.toml").write_text(changed)
    shutil.copy(folder / "standard.toml", folder / "extra.toml")
    with pytest.raises(ConfigurationError, match="extra"):
        require_seal(config, load_policies(folder), ledger)


def test_a_seal_that_was_deleted_by_hand_stops_the_notary(bench: Bench) -> None:
    from device.notary.service import run as run_notary

    bench.enrol()
    bench.seal()
    sealed = bench.config.read_text()
    bench.config.write_text(sealed[: sealed.index("[seal]")])
    with pytest.raises(ConfigurationError, match="has lost the seal"):
        require_seal(load_config(bench.config), load_policies(), bench.state / "ledger.sqlite")
    config = load_config(bench.config)
    assert run_notary(
        msgspec.structs.replace(config, box=msgspec.structs.replace(config.box, runtime=str(bench.folder)))
    )
    bench.config.write_text(sealed.replace('use = "research"', 'use = "commercial"'))
    with pytest.raises(ConfigurationError, match="does not know this box's seal"):
        require_seal(load_config(bench.config), load_policies(), bench.state / "ledger.sqlite")


def recording(bench: Bench) -> str:
    """An emulated camera that costs nothing."""
    folder = bench.folder / "recording"
    folder.mkdir()
    cv2.imwrite(str(folder / "1.png"), np.zeros((240, 320, 3), np.uint8))
    return f"emulated:{folder}"


def test_a_sealed_box_refuses_an_emulated_camera(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    from device.vision.worker import main as worker

    bench.enrol()
    bench.seal()
    bench.config.write_text(bench.config.read_text().replace(CAMERA, recording(bench), 1))
    code = worker([f"--config={bench.config}", "--listener=0", "--status=1", "--lifeline=2"])
    assert code == 2
    assert "this box is sealed" in caplog.text


def test_an_emulated_camera_cannot_be_sealed_in(bench: Bench) -> None:
    bench.enrol()
    bench.facts("init", "--name", "box-1", "--camera", recording(bench))
    bench.tested()
    result = bench.run("seal", "--use", "research", "--yes", "--accept", "camera.emulated")
    assert result.exit_code == 2
    assert "no live camera" in str(result.exception)
    assert bench.box.config.sealed is None


def test_everything_against_sealing_is_said_at_once(bench: Bench) -> None:
    bench.enrol()
    bench.tested(
        finding("camera.focus", False, "unfocused", "turn it"), finding("key.strength", False, "f", advisory=True)
    )
    result = bench.run("seal", "--use", "commercial", "--yes")
    words = str(result.exception)
    assert result.exit_code == 2
    assert "camera.focus: unfocused; turn it" in words
    assert "licence.face-embedder" in words
    assert "key.strength" not in words
    assert not (bench.state / "ledger.sqlite").exists()
    named = [f"--accept={part.split()[0]}" for part in words.split("--accept ")[1:]]
    said = bench.facts("seal", "--use", "commercial", "--yes", *named)
    assert "camera.focus" in said["accepted"]
    assert "camera.focus" in bench.facts("status")["sealed"]["accepted"]


def test_what_was_accepted_once_and_is_well_now_does_not_keep_a_box_open(bench: Bench) -> None:
    """An unattended rollout seals a box again with what it was sealed with; meanwhile its clock found a server."""
    bench.enrol()
    bench.tested(finding("time.clock", True, "set by a time server"))
    assert bench.facts("seal", "--use", "research", "--yes", "--accept", "time.clock")["accepted"] == ["time.clock"]


def test_policies_of_a_folder_and_back_to_vouchboxs_own(bench: Bench, tmp_path: Path) -> None:
    bench.enrol()
    (tmp_path / "new").mkdir()
    shutil.copy(PACKAGED / "standard.toml", tmp_path / "new")
    for folder in (tmp_path / "new", None):
        names = [str(folder)] if folder else []
        assert [bench.facts("policy", "use", *names)["changed"] for _ in range(2)] == [True, False]
        assert bench.facts("status")["policy_folder"] == (str(folder) if folder else None)
    bench.seal()
    refused = bench.run("policy", "use", tmp_path / "new")
    assert (refused.exit_code, "unseal" in str(refused.exception)) == (2, True)


def test_no_self_test_no_seal(bench: Bench) -> None:
    bench.enrol()
    assert "run `vouchbox-provision selftest`" in str(bench.run("seal", "--use", "research", "--yes").exception)
    bench.tested()
    file = bench.state / "provisioning" / "selftest.json"
    old = json.loads(file.read_text())
    file.write_text(json.dumps(old | {"time": old["time"] - 100_000}))
    assert "in the last day" in str(bench.run("seal", "--use", "research", "--yes").exception)
    bench.tested()
    assert "is called none-such" in str(
        bench.run("seal", "--use", "research", "--yes", "--accept", "none-such").exception
    )


def test_opening_leaves_a_mark(bench: Bench) -> None:
    bench.enrol()
    bench.seal()
    assert bench.run("unseal", "--reason", "two words", "--yes").exit_code == 2
    assert bench.facts("unseal", "--reason", "camera-replaced", "--yes")["changed"]
    assert not bench.facts("unseal", "--reason", "camera-replaced", "--yes")["changed"]
    rows = [json.loads(line) for line in bench.run("ledger", "export").stdout.splitlines()]
    assert [(row["outcome"], row["reasons"]) for row in rows] == [("sealed", ""), ("unsealed", "camera-replaced")]
    bench.seal()
    assert verify_ledger(bench.state / "ledger.sqlite").size == 3


def test_a_seal_that_was_cut_off_is_completed(bench: Bench) -> None:
    bench.enrol()
    bench.seal()
    for name in ("ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"):
        (bench.state / name).unlink(missing_ok=True)  # as if the mark had not been written
    assert bench.run("status").exit_code == 1
    assert bench.facts("seal", "--use", "research", "--yes")["changed"]
    assert bench.facts("status")["problems"] == []


def test_a_ledger_that_was_only_begun_has_no_mark(bench: Bench) -> None:
    bench.enrol()
    (bench.state / "ledger.sqlite").touch(mode=0o600)
    assert last_mark(bench.state / "ledger.sqlite") is None
    assert bench.seal()["changed"]
    (bench.folder / "no-ledger").write_bytes(b"something else" * 100)
    with pytest.raises(LedgerError, match="cannot read the ledger"):
        last_mark(bench.folder / "no-ledger")


def test_nothing_is_sealed_while_a_notary_runs(bench: Bench) -> None:
    import socket

    bench.enrol()
    bench.tested()
    replace = msgspec.structs.replace
    change_config(bench.box, lambda c: replace(c, box=replace(c.box, runtime=str(bench.folder))))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(bench.folder / "notary.sock"))
        listener.listen()
        result = bench.run("seal", "--use", "research", "--yes")
    assert "stop the services first" in str(result.exception)
    assert bench.box.config.sealed is None


# --- wipe, ledger, support -------------------------------------------------------------------------------------------


def test_wiped_is_nobodys(bench: Bench) -> None:
    bench.enrol()
    bench.facts(*ADD)
    bench.seal()
    key = (bench.state / "keys" / "production" / "key.pem").read_bytes()
    assert bench.run("wipe").exit_code == 2
    said = bench.facts("wipe", "--yes")
    assert said["destroyed"] == ["keys", "identity", "relying parties", "notes"]
    assert bench.box.stage() is Stage.BARE
    assert not any(key in data for data in snapshot(bench.state).values())
    assert last_mark(bench.state / "ledger.sqlite") == (Mark.WIPED, b"")
    assert not bench.facts("wipe", "--yes")["changed"]
    assert verify_ledger(bench.state / "ledger.sqlite").size == 2
    before = bench.enrol("box-2")
    assert before["name"] == "box-2"
    assert bench.facts("wipe", "--yes", "--ledger", "--models")["changed"]
    assert snapshot(bench.state) == {}


def test_wiped_forgets_who_may_ask_by_code(bench: Bench, tmp_path: Path) -> None:
    key = tmp_path / "shop.pub"
    key.write_text(public_pem(ec.generate_private_key(ec.SECP256R1()).public_key()))
    bench.init()
    bench.facts(*ADD, "--request-key", str(key))
    assert "relying parties" in bench.facts("wipe", "--yes")["destroyed"]
    assert not (bench.state / "request-keys.toml").exists()


def test_a_rewritten_ledger_is_found_by_an_old_verdict(bench: Bench, tmp_path: Path) -> None:
    import base64

    bench.enrol()
    bench.seal()
    first = verify_ledger(bench.state / "ledger.sqlite")

    def token(size: int, digest: bytes) -> Path:
        claims = {"log": {"size": size, "head": base64.urlsafe_b64encode(digest).decode().rstrip("=")}}
        body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
        path = tmp_path / f"token-{size}-{digest[0]}"
        path.write_text(f"e30.{body}.x")
        return path

    assert bench.run("ledger", "verify", "--token", token(1, first.hash)).exit_code == 0
    result = bench.run("ledger", "verify", "--token", token(1, bytes(32)), "--json")
    assert (result.exit_code, json.loads(result.stdout)["valid"]) == (1, False)
    assert bench.run("ledger", "verify", "--token", token(9, first.hash)).exit_code == 1
    (tmp_path / "none").write_text("no token")
    assert bench.run("ledger", "verify", "--token", tmp_path / "none").exit_code == 2


def test_no_ledger_yet(bench: Bench) -> None:
    bench.init()
    for command in ("verify", "export"):
        assert "no verdict yet" in str(bench.run("ledger", command).exception)
    assert bench.run("ledger", "head").exit_code == 1


def test_the_support_bundle_has_nothing_secret(bench: Bench) -> None:
    bench.enrol()
    token = bench.facts(*ADD)["token"]
    bench.seal()
    said = bench.run("support-bundle", bench.folder / "s.tar.gz", "--yes")
    assert "status.json" in said.stderr
    with tarfile.open(bench.folder / "s.tar.gz") as tar:
        files = {member.name: tar.extractfile(member).read() for member in tar.getmembers()}  # type: ignore[union-attr]
    everything = b"".join(files.values())
    pseudonym = (bench.state / "keys" / "pseudonym.key").read_bytes()
    for secret in (b"PRIVATE KEY", token.encode(), b"bank", pseudonym, pseudonym.hex().encode()):
        assert secret not in everything
    assert {Path(name).name for name in files} >= {"status.json", "config.json", "packages.txt", "selftest.json"}


def test_status_in_ten_lines(bench: Bench) -> None:
    assert bench.facts("status")["stage"] == "bare"
    bench.enrol()
    assert bench.facts("status")["stage"] == "enrolled"
    bench.seal()
    said = bench.facts("status")
    assert (said["stage"], said["problems"], said["development_key"]) == ("sealed", [], False)
    assert said["ledger"]["rows"] == 1
    assert len(bench.run("status").stdout.splitlines()) <= 12
    (bench.state / "keys" / "production" / "key.pem").chmod(0o644)
    assert bench.run("status").exit_code == 1


def test_help_names_every_command() -> None:
    from provisioning.cli import COMMANDS

    result = run("--help")
    for name in COMMANDS:
        assert name in result.stdout
        assert run(name, "--help").exit_code == 0
