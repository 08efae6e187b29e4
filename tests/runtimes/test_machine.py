"""What is known of this machine."""

import subprocess

import pytest

from rnn_deploy.runtimes import machine
from rnn_deploy.runtimes.registry import runtime_named
from rnn_deploy.verifying.report.environment import environment


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("processor\t: 0\nmodel name\t: One Two 3 @ 4\n", "One Two 3 @ 4"),
        ("Hardware\t: Board\n", "Board"),
    ],
)
def test_the_processor_is_named_as_the_system_names_it(tmp_path, monkeypatch, text, name):
    (tmp_path / "cpuinfo").write_text(text)
    monkeypatch.setattr(machine, "_CPUINFO", tmp_path / "cpuinfo")
    assert machine.processor() == name
    monkeypatch.setattr(machine, "_CPUINFO", tmp_path / "none")
    assert machine.processor()


def test_the_graphics_card_is_in_the_environment_of_cuda_only(monkeypatch):
    shown = "Card 9, 555.1, 8192 MiB\nCard 9, 555.1, 8192 MiB\n"
    done = subprocess.CompletedProcess([], 0, stdout=shown)
    monkeypatch.setattr(machine.subprocess, "run", lambda *words, **options: done)
    found = environment([runtime_named("ort-cpu"), runtime_named("ort-cuda")])
    assert found["gpu"] == "Card 9, 555.1, 8192 MiB; Card 9, 555.1, 8192 MiB"
    assert "gpu" not in environment([runtime_named("ort-cpu")])


def test_without_the_driver_s_tool_no_card_is_known(monkeypatch):
    monkeypatch.setattr(machine, "_CARD", ("no-such-program",))
    assert machine.graphics_card() is None
    assert environment([runtime_named("ort-cuda")])["gpu"] == "?"
