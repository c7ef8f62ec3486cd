"""The ledger: append-only, chained, on disk before it says so; and every way to rewrite it is seen."""

from __future__ import annotations

import hashlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from device.errors import LedgerError
from device.notary.ledger import GENESIS, Head, Ledger, Row, chain, verify_ledger


def row(number: int) -> Row:
    return Row(
        jti=f"verification-{number:04d}",
        time=1_700_000_000 + number,
        relying_party="bank",
        policy="standard",
        outcome="rejected" if number % 2 else "verified",
        reasons=("face_mismatch",) if number % 2 else (),
        measurements=hashlib.sha256(b"m").digest(),
        token_sha256=hashlib.sha256(str(number).encode()).digest(),
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    for number in range(6):
        ledger.append(row(number))
    ledger.close()
    return tmp_path / "ledger.sqlite"


def test_empty(tmp_path: Path) -> None:
    assert Ledger(tmp_path / "l").head == Head(0, GENESIS)


def test_the_chain_is_what_the_definition_says(path: Path) -> None:
    expected = GENESIS
    for number in range(6):
        expected = chain(expected, number + 1, row(number))
    assert verify_ledger(path) == Head(6, expected)


def test_it_goes_on_where_it_stopped(path: Path) -> None:
    before = verify_ledger(path)
    ledger = Ledger(path)
    assert ledger.head == before
    after = ledger.append(row(6))
    assert verify_ledger(path, known=[before, after]) == after


def test_only_this_user_can_read_it(path: Path) -> None:
    assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("statement", ["UPDATE verdicts SET outcome = 'verified'", "DELETE FROM verdicts"])
def test_update_and_delete_are_refused(path: Path, statement: str) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="append-only"), sqlite3.connect(path) as database:
        database.execute(statement)


def tamper(path: Path, *statements: str) -> None:
    with sqlite3.connect(path) as database:
        for name in ("verdicts_no_update", "verdicts_no_delete", "heads_no_update", "heads_no_delete"):
            database.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            database.execute(statement)


@pytest.mark.parametrize("sequence", range(1, 7))
@pytest.mark.parametrize(
    "change",
    [
        "jti = 'another-verification'",
        "time = time + 1",
        "relying_party = 'lender'",
        "policy = 'demo'",
        "outcome = 'inconclusive'",
        "reasons = 'presentation_attack'",
        "measurements = zeroblob(32)",
        "token_sha256 = zeroblob(32)",
        "hash = zeroblob(32)",
    ],
)
def test_a_change_in_any_column_of_any_row_is_seen(path: Path, sequence: int, change: str) -> None:
    tamper(path, f"UPDATE verdicts SET {change} WHERE sequence = {sequence}")
    with pytest.raises(LedgerError, match=f"row {sequence} was changed"):
        verify_ledger(path)


def test_a_row_taken_out_is_seen(path: Path) -> None:
    tamper(path, "DELETE FROM verdicts WHERE sequence = 3")
    with pytest.raises(LedgerError, match="row 3 is missing"):
        verify_ledger(path)


def test_two_rows_swapped_are_seen(path: Path) -> None:
    tamper(
        path,
        "UPDATE verdicts SET sequence = 99 WHERE sequence = 2",
        "UPDATE verdicts SET sequence = 2 WHERE sequence = 3",
        "UPDATE verdicts SET sequence = 3 WHERE sequence = 99",
    )
    with pytest.raises(LedgerError, match="row 2 was changed"):
        verify_ledger(path)


def test_rows_cut_off_at_the_end_are_seen_by_whoever_holds_a_head(path: Path) -> None:
    head = verify_ledger(path)
    tamper(path, "DELETE FROM verdicts WHERE sequence > 4")
    assert verify_ledger(path).size == 4  # in itself it is a good chain
    with pytest.raises(LedgerError, match="rows are missing"):
        verify_ledger(path, known=[head])


def test_a_rewritten_past_is_seen_by_whoever_holds_a_head(path: Path, tmp_path: Path) -> None:
    head = verify_ledger(path)
    other = Ledger(tmp_path / "other")
    for number in range(10, 20):
        other.append(row(number))
    with pytest.raises(LedgerError, match="rewritten"):
        verify_ledger(tmp_path / "other", known=[head])


def test_a_recorded_head_is_held_against_the_rows(path: Path) -> None:
    ledger = Ledger(path)
    ledger.record_head(ledger.head, "a.signed.statement")
    ledger.close()
    tamper(path, "DELETE FROM verdicts WHERE sequence > 4")
    with pytest.raises(LedgerError, match="rows are missing"):
        verify_ledger(path)


def test_a_tampered_ledger_does_not_open(path: Path) -> None:
    tamper(path, "UPDATE verdicts SET outcome = 'verified' WHERE sequence = 2")
    with pytest.raises(LedgerError, match="row 2"):
        Ledger(path)


@pytest.mark.parametrize("content", [b"", b"not a database" * 100], ids=["empty_file", "garbage"])
def test_a_file_that_is_no_ledger(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(content)
    with pytest.raises(LedgerError):
        verify_ledger(path)


def test_the_same_verification_twice_is_refused_and_harms_nothing(path: Path) -> None:
    ledger = Ledger(path)
    with pytest.raises(LedgerError):
        ledger.append(row(3))
    ledger.append(row(7))
    ledger.close()
    assert verify_ledger(path).size == 7


def test_a_ledger_that_disappears_is_not_writable(path: Path) -> None:
    ledger = Ledger(path)
    path.unlink()
    with pytest.raises(LedgerError, match="gone"):
        ledger.check_writable()


def test_a_full_disk_is_noticed_beforehand(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(path)
    status = os.statvfs(path)
    full = os.statvfs_result((*status[:4], 1, *status[5:]))  # f_bavail
    monkeypatch.setattr(os, "statvfs", lambda _path: full)
    with pytest.raises(LedgerError, match="full"):
        ledger.check_writable()


def test_rows_from_many_threads_form_one_chain(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "l")
    threads = [
        threading.Thread(target=lambda start=start: [ledger.append(row(start + n)) for n in range(10)])
        for start in range(0, 80, 10)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert verify_ledger(tmp_path / "l") == ledger.head
    assert ledger.head.size == 80


WRITER = """
import sys
from pathlib import Path
from device.notary.ledger import Ledger
from tests.notary.test_ledger import row
ledger = Ledger(Path(sys.argv[1]))
number = ledger.head.size
while True:
    head = ledger.append(row(number))
    number += 1
    print(head.size, head.hash.hex(), flush=True)
"""


def test_kill_9_while_writing_loses_no_row_that_was_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    acknowledged: list[Head] = []
    for kill_after in (1, 7, 20):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        for _ in range(kill_after):
            size, digest = writer.stdout.readline().split()
            acknowledged.append(Head(int(size), bytes.fromhex(digest)))
        os.kill(writer.pid, signal.SIGKILL)
        writer.communicate()
        head = verify_ledger(path, known=acknowledged)
        assert head.size >= acknowledged[-1].size
