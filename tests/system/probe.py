"""Runs inside a unit and tries everything that its process must not be able to do; prints what came of each as JSON.

Arguments: address and port of a listener outside, then the process ids of the services to attack. An attempt that
succeeds is `ok`; one that is refused is the error's name. Standard library only: it runs with the box's own Python.
"""

import ctypes
import errno
import json
import mmap
import os
import resource
import signal
import socket
import sys
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWUSER, CLONE_NEWNET, PTRACE_ATTACH, PTRACE_DETACH = 0x10000000, 0x40000000, 16, 17
IO_URING_SETUP = 425  # the same on every architecture


def called(result):
    if result == -1:
        raise OSError(ctypes.get_errno(), "")
    return result


def attempt(action):
    try:
        action()
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))
    except (ValueError, TimeoutError) as error:
        return type(error).__name__
    return "ok"


def attempt_apart(action):
    """In a child, for what would change this process or leave something behind."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, attempt(action).encode())
        os._exit(0)
    os.close(writer)
    said = os.read(reader, 64).decode()
    os.close(reader)
    os.waitpid(child, 0)
    return said or "killed"


def tcp():
    with socket.create_connection((OUTSIDE, PORT), 3):
        pass


def udp():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"out", (OUTSIDE, PORT))


def family(number, kind, protocol=0):
    return lambda: socket.socket(number, kind, protocol).close()


def unix(path):
    def connect():
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as caller:
            caller.connect(path)

    return connect


def read(path):
    def action():
        with Path(path).open("rb") as file:
            file.read(1)

    return action


def memory(pid):
    def action():
        with Path(f"/proc/{pid}/maps").open() as maps:
            start = int(maps.readline().split("-")[0], 16)
        with Path(f"/proc/{pid}/mem").open("rb", 0) as file:
            file.seek(start)
            file.read(16)

    return action


def write(folder):
    def action():
        path = Path(folder) / f"probe-{os.getpid()}"
        path.write_bytes(b"x")
        path.unlink()

    return action


def trace(pid):
    def action():
        called(LIBC.ptrace(PTRACE_ATTACH, pid, 0, 0))
        os.waitpid(pid, 0x40000000)  # __WALL
        LIBC.ptrace(PTRACE_DETACH, pid, 0, 0)

    return action


def io_uring():
    parameters = ctypes.create_string_buffer(120)  # struct io_uring_params
    os.close(called(LIBC.syscall(IO_URING_SETUP, 4, parameters)))


def writable_code():
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()


def core_dumps():
    if resource.getrlimit(resource.RLIMIT_CORE)[1] == 0:
        raise OSError(errno.EPERM, "")


def become(user):
    return lambda: os.setuid(user)


def mount():
    called(LIBC.mount(b"none", b"/mnt", b"tmpfs", 0, None))
    called(LIBC.umount(b"/mnt"))


def attempts(victims):
    yield "tcp", tcp
    yield "udp", udp
    yield "raw", family(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    yield "packet", family(socket.AF_PACKET, socket.SOCK_RAW)
    yield "ipv6", family(socket.AF_INET6, socket.SOCK_STREAM)
    yield "netlink", family(socket.AF_NETLINK, socket.SOCK_RAW)
    yield "vsock", family(40, socket.SOCK_STREAM)
    yield "bus", unix("/run/dbus/system_bus_socket")
    yield "vision.sock", unix("/run/vouchbox/vision.sock")
    yield "notary.sock", unix("/run/vouchbox/notary.sock")
    yield "camera", read("/dev/video0")
    yield "key", read("/var/lib/vouchbox/keys/development/key.pem")
    yield "ledger", read("/var/lib/vouchbox/ledger.sqlite")
    yield "tls-key", read("/etc/vouchbox/tls/key.pem")
    yield "tokens", read("/etc/vouchbox/relying-parties.toml")
    for folder in ("/tmp", "/var/tmp", "/dev/shm", "/run", "/run/vouchbox", "/var/lib", "/var/log", "/etc/vouchbox"):
        yield f"write {folder}", write(folder)
    for folder in ("/opt/vouchbox/current", "/var/lib/vouchbox", "/var/lib/vouchbox/models", "/usr/local", "/home"):
        yield f"write {folder}", write(folder)
    for pid in victims:
        yield f"ptrace {pid}", trace(pid)
        yield f"memory {pid}", memory(pid)
        yield f"signal {pid}", lambda pid=pid: os.kill(pid, 0)
    yield "io_uring", io_uring
    yield "user-namespace", lambda: called(LIBC.unshare(CLONE_NEWUSER))
    yield "net-namespace", lambda: called(LIBC.unshare(CLONE_NEWNET))
    yield "mount", mount
    yield "writable-code", writable_code
    yield "core-dumps", core_dumps
    yield "become-root", become(0)


if __name__ == "__main__":
    signal.alarm(60)
    OUTSIDE, PORT = sys.argv[1], int(sys.argv[2])
    outcomes = {name: attempt_apart(action) for name, action in attempts([int(word) for word in sys.argv[3:]])}
    print("PROBE " + json.dumps(outcomes), flush=True)
