"""Processes that start fast: forked from one that has imported what is slow and done nothing else.

A command in one of them is a process like any other: it has its own memory, streams, folder,
environment, signals and exit code. What it cannot show is how Python itself starts and how long
the imports take; tests of that start Python.
"""

import atexit
import multiprocessing
import os
import resource
import runpy
import signal
import subprocess
import sys
import threading
from io import BufferedReader, BufferedWriter, FileIO, TextIOWrapper
from multiprocessing.reduction import DupFd
from pathlib import Path

import torch

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(
    [
        "actionclip.training.run.loop",
        "actionclip.training.recipes.running",
        "actionclip.inference.recognizer",
        "actionclip.serving.server",
        "actionclip.serving.routes.app",
        "matplotlib.backends.backend_agg",
        "matplotlib.figure",
        "torch.utils.tensorboard.writer",
    ]
)


class Command:
    """`python -m actionclip` with some words, in a process of its own; used like `Popen`.

    Args:
        words: what is typed after the name of the program.
        program: another module, the path of a script, or lines as after `python -c`.
        stdout: a file, a descriptor, or `subprocess.PIPE`; so is `stderr`.
        cwd: the folder where it is typed.
        env: the environment; by default that of the tests.
    """

    def __init__(self, words, *, stdout, stderr, cwd=None, env=None, program="actionclip"):
        self.returncode = self.stdout = self.stderr = None
        ends = [os.open(os.devnull, os.O_RDONLY)]
        for name, where in (("stdout", stdout), ("stderr", stderr)):
            if where == subprocess.PIPE:
                reading, writing = os.pipe()
                setattr(self, name, os.fdopen(reading, "rb"))
                ends.append(writing)
            else:
                ends.append(os.dup(where if isinstance(where, int) else where.fileno()))
        told = (
            program,
            [str(word) for word in words],
            str(cwd or Path.cwd()),
            dict(os.environ if env is None else env),
            resource.getrlimit(resource.RLIMIT_NOFILE),
        )
        self._process = SERVER.Process(target=_Become(*told, ends))
        self._process.start()
        for end in ends:
            os.close(end)
        self.pid = self._process.pid

    def poll(self):
        """The exit code, below zero for a signal; None while it runs."""
        self.returncode = self._process.exitcode
        return self.returncode

    def wait(self, timeout=None):
        """The exit code, when it has ended."""
        self._process.join(timeout)
        if self.poll() is None:
            raise subprocess.TimeoutExpired("actionclip", timeout)
        return self.returncode

    def send_signal(self, number):
        """Send a signal, if it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self):
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout=None):
        """All that it writes to its pipes, when it has ended."""
        found = {}
        readers = [
            threading.Thread(target=lambda name=name, pipe=pipe: found.update({name: pipe.read()}))
            for name, pipe in (("stdout", self.stdout), ("stderr", self.stderr))
            if pipe is not None
        ]
        for reader in readers:
            reader.start()
        self.wait(timeout)
        for reader in readers:
            reader.join()
        for pipe in (self.stdout, self.stderr):
            if pipe is not None:
                pipe.close()
        return found.get("stdout"), found.get("stderr")


def run(*words, **options):
    """A command from start to end; what it wrote is bytes."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    command = Command(words, **options)
    out, err = command.communicate(timeout=240)
    return subprocess.CompletedProcess(words, command.returncode, out, err)


class _Become:
    """What the new process does first: it makes itself what was started, then it is that."""

    def __init__(self, program, words, folder, environment, files, ends):
        self.program, self.words, self.ends = program, words, ends
        self.folder, self.environment, self.files = folder, environment, files

    def __getstate__(self):
        return self.__dict__ | {"ends": [DupFd(end) for end in self.ends]}

    def __call__(self):
        for number, end in enumerate(self.ends):
            held = end.detach()
            os.dup2(held, number)
            os.close(held)
        resource.setrlimit(resource.RLIMIT_NOFILE, self.files)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # tests in the background lack it
        os.chdir(self.folder)
        os.environ.clear()
        os.environ.update(self.environment)
        _open_streams()
        torch.set_num_threads(1)  # one thread a process, as `make test` asks for
        sys.argv = [self.program, *self.words]
        try:
            if "\n" in self.program:
                sys.argv[0] = "-c"
                exec(compile(self.program, "program", "exec"), {"__name__": "__main__"})
            elif self.program.endswith(".py"):
                sys.path.insert(0, str(Path(self.program).parent))
                runpy.run_path(self.program, run_name="__main__")
            else:
                runpy.run_module(self.program, run_name="__main__", alter_sys=True)
        finally:
            atexit._run_exitfuncs()  # as Python itself does, and multiprocessing does not


def _open_streams():
    """As Python opens them where the environment names an encoding, and on a UTF-8 system else."""
    encoding, _, errors = os.environ.get("PYTHONIOENCODING", "").partition(":")
    encoding = encoding or "utf-8"
    errors = errors or "strict"
    streams = [BufferedReader(FileIO(0, closefd=False))]
    streams += [BufferedWriter(FileIO(number, "w", closefd=False)) for number in (1, 2)]
    sys.stdin = TextIOWrapper(streams[0], encoding, errors)
    sys.stdout = TextIOWrapper(streams[1], encoding, errors, line_buffering=os.isatty(1))
    sys.stderr = TextIOWrapper(streams[2], encoding, "backslashreplace", line_buffering=True)
