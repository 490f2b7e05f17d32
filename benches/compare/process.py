"""A program under measurement, with every process that it starts. Linux only: time and memory are
read from /proc."""

import http.client
import os
import signal
import subprocess
import time


class Process:
    """A running program; the processes of its session are counted with it."""

    def __init__(self, command, environment=None, cwd=None):
        self.started = time.monotonic()
        self._child = subprocess.Popen(
            [str(word) for word in command],
            env={**os.environ, **(environment or {})},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def ready(self, port, request, patience, status=200):
        """Asks until the answer has this status; how many seconds after the start that was."""
        while time.monotonic() - self.started < patience:
            if self._child.poll() is not None:
                raise Broken(f"ended with status {self._child.returncode} before it answered")
            if answers(port, request, status):
                return time.monotonic() - self.started
            time.sleep(0.001)
        raise Broken(f"did not answer within {patience} s")

    def cpu(self):
        """Seconds of CPU until now, user and system, of all its processes."""
        return sum(cpu_of(pid) for pid in self._pids())

    def memory(self):
        """Bytes of all its processes; what they share counts once."""
        return sum(memory_of(pid) for pid in self._pids())

    def stop(self):
        """Ends all its processes."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self._child.poll() is None or self._pids():
                try:
                    os.killpg(self._child.pid, number)
                except ProcessLookupError:
                    pass
                wait_until(lambda: self._child.poll() is not None and not self._pids(), 3)

    def _pids(self):
        return [pid for pid in all_pids() if session_of(pid) == self._child.pid]


class Broken(Exception):
    """Something that was to be measured can't be."""


def answers(port, request, status=200):
    """Is this request (method, path, body, headers) answered with this status?"""
    method, path, body, headers = request
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request(method, path, body, headers)
        return connection.getresponse().status == status
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def wait_until(condition, seconds):
    """Waits until something is so, or for so long."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)


def all_pids():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def stat(pid):
    """The fields of /proc/<pid>/stat after the name, which may hold anything."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return None


def session_of(pid):
    fields = stat(pid)
    # one that has ended and was not waited for uses nothing
    return int(fields[3]) if fields and fields[0] != "Z" else None


def cpu_of(pid):
    """Seconds of CPU of one process and of its children that have ended.

    The scheduler's count of each thread is exact; where the kernel keeps none, and for what has
    ended, there are ticks of 10 ms."""
    fields = stat(pid)
    if not fields:
        return 0.0
    user, system, ended_user, ended_system = (int(field) for field in fields[11:15])
    ended = (ended_user + ended_system) / os.sysconf("SC_CLK_TCK")
    try:
        threads = os.listdir(f"/proc/{pid}/task")
        return ended + sum(nanoseconds(pid, thread) for thread in threads) / 1e9
    except OSError:
        return ended + (user + system) / os.sysconf("SC_CLK_TCK")


def nanoseconds(pid, thread):
    with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as file:
        return int(file.read().split()[0])


def memory_of(pid):
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            lines = [line for line in file if line.startswith("Pss:")]
        return int(lines[0].split()[1]) * 1024
    except (OSError, IndexError):
        return 0
