"""What processes hold in memory, as Linux tells it, in MB (2^20 bytes)."""

from __future__ import annotations

from pathlib import Path


def resident(row: str = "VmRSS") -> float:
    """What this process holds: VmRSS now, VmHWM the most that it has held (proc_pid_status(5))."""
    return _row(Path("/proc/self/status"), row)


def proportional(pid: int) -> float:
    """What a process holds, pages that it shares counted by its share in them (PSS, proc_pid_smaps(5))."""
    return _row(Path(f"/proc/{pid}/smaps_rollup"), "Pss")


def children(pid: int) -> list[int]:
    """The processes that this one's main thread has started and that are still there."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()]


def _row(file: Path, row: str) -> float:
    lines = file.read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{row}:")) / 1024
