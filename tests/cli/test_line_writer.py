"""Lines that are written whole, and signals between them."""

import os
import signal
import threading
import time
from functools import partial

import pytest

from rnn_deploy.cli.ending import Ended, ending_cleanly
from rnn_deploy.cli.line_writer import PART, LineWriter


@pytest.fixture
def pipe():
    read, write = os.pipe()
    with os.fdopen(write, "w") as stream:
        yield read, stream
    os.close(read)


def test_a_line_is_there_before_written_is_called(pipe):
    read, stream = pipe
    seen = []
    stream.write("before\n")
    LineWriter(stream).write("[1]", lambda: seen.append(os.read(read, 100)))
    assert seen == [b"before\n[1]\n"]


def test_a_long_line_is_written_in_parts(pipe):
    read, stream = pipe
    long, seen = "x" * (40 * PART), []

    def reading():
        while not seen or not seen[-1].endswith(b"\n"):
            seen.append(os.read(read, 1000))

    reader = threading.Thread(target=reading)
    reader.start()
    LineWriter(stream).write(long, lambda: None)
    reader.join()
    assert b"".join(seen) == long.encode() + b"\n"


def test_a_reader_that_has_ended_is_an_error():
    read, write = os.pipe()
    os.close(read)
    written = []
    with os.fdopen(write, "w") as stream, pytest.raises(BrokenPipeError):
        LineWriter(stream).write("1", lambda: written.append(1))
    assert written == []


def test_a_signal_between_a_line_and_its_count_waits(pipe):
    written = []

    def interrupted():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.05)
        written.append(1)

    with pytest.raises(Ended), ending_cleanly(in_process=True):
        LineWriter(pipe[1]).write("1", interrupted)
    assert written == [1]


def test_a_signal_ends_the_wait_for_a_full_pipe(pipe):
    read, stream = pipe
    written = []
    timer = threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGTERM])
    timer.start()
    with pytest.raises(Ended), ending_cleanly(in_process=True):
        _fill(LineWriter(stream), written)
    timer.join()
    stream.flush()
    os.set_blocking(read, False)
    found = b"".join(iter(lambda: _read(read), b""))
    assert len(written) == found.count(b"\n")


def _fill(writer, written):
    for number in range(10_000):
        writer.write("x" * 1000, partial(written.append, number))


def _read(descriptor):
    try:
        return os.read(descriptor, 1 << 20)
    except BlockingIOError:
        return b""
