"""The fork server of one sandbox: started by path with the sandbox's interpreter, it forks one child per task.

Requests come as JSON lines on standard input, answers go as JSON lines to standard output. It stays single-threaded and imports nothing
of the user's, so that a fork is safe and cheap. When standard input ends, because control ended or was killed, everything it
started is killed. It is a child subreaper, and so is each task: what a task's processes leave behind stays the task's while it
runs, becomes the server's when the task ended, and is killed then.
"""

from __future__ import annotations

import atexit
import ctypes
import fcntl
import importlib.util
import json
import os
import select
import signal
import sys
import time
from contextlib import suppress

GRACE = 3  # seconds that what is done at exit may take
KEEP = 256 * 1024  # bytes of output kept from the beginning, and as many from the end
_ANY = ""
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER, _F_SETPIPE_SZ = 1, 36, 1031


def load_package():
    """Our own files as the package `_payoff_worker`, so that no name of ours is in the way of the user's modules."""
    folder = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [path for path in sys.path if os.path.abspath(path or ".") != folder]
    spec = importlib.util.spec_from_file_location(
        "_payoff_worker", os.path.join(folder, "__init__.py"), submodule_search_locations=[folder]
    )
    package = importlib.util.module_from_spec(spec)
    sys.modules["_payoff_worker"] = package
    spec.loader.exec_module(package)


class Child:
    """A task under way: its process, and the bounded capture of what it prints."""

    def __init__(self, task, pid, pipe):
        self.task, self.pid, self.pipe = task, pid, pipe
        self.began = time.monotonic()
        self.head, self.tail, self.dropped = b"", b"", 0
        self.cancelled = False
        self.pipe_ended = False

    def read(self):
        """Take what is there; False when the pipe ended."""
        try:
            data = os.read(self.pipe, 1 << 16)
        except BlockingIOError:
            return True
        if not data:
            return False
        if len(self.head) < KEEP:
            take = KEEP - len(self.head)
            self.head, data = self.head + data[:take], data[take:]
        self.tail += data
        if len(self.tail) > 2 * KEEP:
            self.dropped += len(self.tail) - KEEP
            self.tail = self.tail[-KEEP:]
        return True

    def output(self):
        """What was printed, its middle left out when it was too much."""
        self.dropped += max(0, len(self.tail) - KEEP)
        middle = b"\n... %d bytes left out ...\n" % self.dropped if self.dropped else b""
        return self.head + middle + self.tail[-KEEP:]


class Server:
    """Forks tasks, watches them, answers."""

    def __init__(self, root):
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self.out = os.dup(1)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        self.children = {}
        self.ready = {}  # task id -> (child that waits for it, where to hand it in)
        self.any = {"id": _ANY, "root": root, "environment": {}}  # stands for the task that comes next, whichever it is
        self.buffer = b""
        self.answers = b""  # not yet taken by control: were we to wait for it, and it for us, both would wait for ever
        self.wake_read, self.wake_write = os.pipe()
        for fd in (self.wake_read, self.wake_write, self.out):
            os.set_blocking(fd, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self.wake_write)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def serve(self):
        """Until standard input ends."""
        try:
            while True:
                self.get_ready(self.any)
                pipes = {child.pipe: child for child in self.children.values() if not child.pipe_ended}
                ready, free, _ = select.select([0, self.wake_read, *pipes], [self.out] if self.answers else [], [])
                if free and not self.hand_out():
                    return
                for fd in ready:
                    if fd in pipes and not pipes[fd].read():
                        pipes[fd].pipe_ended = True
                if self.wake_read in ready:
                    os.read(self.wake_read, 4096)
                self.reap()
                if 0 in ready and not self.requests():
                    return
        finally:
            ended = [*self.children.values(), *(child for child, _ in self.ready.values())]
            self.children, self.ready = {}, {}
            for child in ended:
                self.kill(child)
            for child in ended:  # what it left behind becomes ours only when it is gone
                with suppress(ChildProcessError):
                    os.waitpid(child.pid, 0)
            self.kill_strays()

    def requests(self):
        data = os.read(0, 1 << 16)
        self.buffer += data
        *lines, self.buffer = self.buffer.split(b"\n")
        for line in lines:
            request = json.loads(line)
            if "cancel" in request:
                child = self.children.get(request["cancel"])
                if child:
                    child.cancelled = True
                    self.kill(child)
            elif "ready" in request:
                self.get_ready(request["ready"])
            elif request["id"] in self.ready:
                self.hand_in(request, self.ready.pop(request["id"]))
            elif _ANY in self.ready:
                self.hand_in(request, self.ready.pop(_ANY))
            else:
                self.children[request["id"]] = self.start(request)
        return bool(data)

    def get_ready(self, task):
        """A child for a task that will come: it imports meanwhile what the last such task imported."""
        if task["id"] in self.ready or task["id"] in self.children:
            return
        door, hand = os.pipe()
        with suppress(OSError):  # a wide table makes a long task; the server must not wait for who is still importing
            fcntl.fcntl(hand, _F_SETPIPE_SZ, 1 << 20)
        self.ready[task["id"]] = (self.start(task, door), hand)
        os.close(door)

    def hand_in(self, task, waiting):
        child, hand = waiting
        with open(hand, "wb") as stream:
            ended, _ = os.waitpid(child.pid, os.WNOHANG)
            if ended:  # it did not live to see its task; a fresh one may
                os.close(child.pipe)
                self.children[task["id"]] = self.start(task)
                return
            child.task, child.began = task, time.monotonic()
            self.children[task["id"]] = child
            with suppress(BrokenPipeError):
                stream.write(json.dumps(task).encode())
                stream.flush()

    def start(self, task, door=None):
        read, write = os.pipe()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            try:
                self.become_child(task, read, write, parent, door)
            finally:
                os._exit(70)
        try:
            os.setpgid(pid, pid)  # the child does the same: whoever comes first
        except (PermissionError, ProcessLookupError):
            pass
        os.close(write)
        os.set_blocking(read, False)
        return Child(task, pid, read)

    def become_child(self, task, read, write, parent, door):
        os.setpgid(0, 0)
        self.libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        self.libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(71)
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE):
            signal.signal(number, signal.SIG_DFL)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(write, 1)
        os.dup2(write, 2)
        ours = {
            nothing,
            self.out,
            self.wake_read,
            self.wake_write,
            read,
            write,
            *(c.pipe for c in self.children.values()),
        }
        ours |= {number for child, hand in self.ready.values() for number in (child.pipe, hand)}
        for number in range(3, max(ours | {door or 0}) + 1):
            if number != door:
                with suppress(OSError):
                    os.close(number)
        sys.stdin = open(0, closefd=False)  # for the whole life of the process
        sys.stdout = open(1, "w", buffering=1, encoding="utf-8", errors="replace", closefd=False)
        sys.stderr = open(2, "w", buffering=1, encoding="utf-8", errors="replace", closefd=False)
        from _payoff_worker import tasks

        if door is not None:
            tasks.get_ready(task)
            with open(door, "rb") as stream:
                handed = stream.read()
            if not handed:
                os._exit(0)
            task = json.loads(handed)
        code = tasks.run(task)
        end(code)

    def reap(self):
        """Answer for each child that ended; whatever it left running is killed."""
        for child in list(self.children.values()):
            try:
                pid, status, usage = os.wait4(child.pid, os.WNOHANG)
            except ChildProcessError:
                continue
            if pid == 0:
                continue
            del self.children[child.task["id"]]
            self.kill_group(child.pid)
            self.kill_strays()
            while child.read() and select.select([child.pipe], [], [], 0)[0]:
                pass
            os.close(child.pipe)
            self.answer(child, status, usage)

    def answer(self, child, status, usage):
        output = child.task["output"]
        log = output + ".log"
        text = child.output()
        try:
            if text:
                with open(log, "wb") as stream:
                    stream.write(text)
        except OSError:  # a full disk costs the log, not the other tasks
            log = ""
        try:
            with open(output + ".result", "rb") as stream:
                result = json.load(stream)
            os.unlink(output + ".result")
        except (OSError, ValueError):
            result = {}
        message = {
            "id": child.task["id"],
            "result": result,
            "exit": os.waitstatus_to_exitcode(status),
            "cancelled": child.cancelled,
            "peak": usage.ru_maxrss * 1024,
            "wall": time.monotonic() - child.began,
            "log": log if text else "",
            "tail": text[-4000:].decode("utf-8", "replace"),
        }
        self.answers += json.dumps(message).encode() + b"\n"
        self.hand_out()

    def hand_out(self):
        """Give control what it takes of the answers now; False when it is gone."""
        try:
            self.answers = self.answers[os.write(self.out, self.answers) :]
        except BlockingIOError:
            pass
        except BrokenPipeError:
            return False
        return True

    def kill(self, child):
        self.kill_group(child.pid)

    @staticmethod
    def kill_group(pid):
        try:
            os.killpg(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass

    def kill_strays(self):
        """Processes that tasks left behind, re-parented to us: those that are our children but no task."""
        ours = {child.pid for child in [*self.children.values(), *(child for child, _ in self.ready.values())]}
        for _ in range(100):
            strays = [pid for pid in children_of(os.getpid()) if pid not in ours]
            if not strays:
                return
            for pid in strays:
                try:
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
                except (ProcessLookupError, ChildProcessError):
                    continue


def end(code):
    """End a task's process as Python would: what libraries do at exit (they remove their temporary files) is done, for a while."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(GRACE)  # its result is written: what ends it now takes nothing away
    with suppress(BaseException):
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(BaseException):
            stream.flush()
    os._exit(code)


def children_of(pid):
    """The direct children of a process."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as stream:
            return [int(word) for word in stream.read().split()]
    except OSError:
        return []


if __name__ == "__main__":
    load_package()
    from _payoff_worker import (
        determinism,
        fingerprints,
        forms,
        imports,
        objects,
        queries,
        scoring,
        tasks,
    )  # so that each fork has them

    if sys.argv[2:]:
        from _payoff_worker import serving

        serving.main(sys.argv[2])
    else:
        Server(sys.argv[1]).serve()
    os._exit(0)
