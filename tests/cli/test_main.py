import io
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest

import rnn_deploy
from rnn_deploy.bundle.store import writing_file
from rnn_deploy.cli import CLOSED_PIPE, VERBS, console, export
from rnn_deploy.errors import (
    BundleError,
    InputError,
    MissingExtraError,
    RnnDeployError,
    RuntimeUnavailableError,
    UnsupportedModelError,
    VerificationError,
    one_line,
)

ROOT = Path(rnn_deploy.__file__).parents[1]


def test_help_names_every_verb(command):
    ended = command("--help")
    assert ended.code == 0
    assert all(f"\n  {verb}" in ended.out for verb in VERBS)


def _alone(*words, **environment):
    """Run `rnn-deploy` in a process of its own, with nothing set but this."""
    environment = {"PATH": os.environ["PATH"], **environment}
    words = [sys.executable, "-m", "rnn_deploy", *words]
    return subprocess.run(words, capture_output=True, cwd=ROOT, env=environment, check=False)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_names_are_said_whatever_the_terminal_can_print(small_bundle, encoding):
    place = small_bundle.rename(small_bundle.with_name("bündel ☃"))
    shown = _alone("inspect", place, PYTHONIOENCODING=encoding)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.decode(encoding, "replace").startswith(f"{place.parent}/b")
    refused = _alone("run", place, "--inputs", f"{place}.npz", PYTHONIOENCODING=encoding)
    assert refused.returncode == 2
    assert b"no such file" in refused.stderr


def test_a_closed_standard_error_costs_no_data(small_bundle, tmp_path, x):
    np.savez(tmp_path / "x.npz", x=x)
    words = [sys.executable, "-m", "rnn_deploy", "run", small_bundle, "--inputs", "x.npz"]
    shell = " ".join(map(shlex.quote, map(str, words)))
    ended = subprocess.run(
        f"{shell} 2>&-", shell=True, stdout=subprocess.PIPE, cwd=tmp_path, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert (ended.returncode, len(ended.stdout.splitlines())) == (0, len(x))


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("inspect b", 2),
        ("inspect b --json", 2),
        ("run b --inputs x.npz", 2),
        ("verify b --quick --runtime ort-cpu --no-isolate", 2),
        ("run b --inputs x.npz -o y.npz", 0),
        ("--version", 0),
    ],
)
def test_a_closed_standard_output_is_an_error_where_data_is_lost(small_bundle, x, words, code):
    place = small_bundle.rename(small_bundle.with_name("b")).parent
    np.savez(place / "x.npz", x=x)
    shell = f"{shlex.quote(sys.executable)} -m rnn_deploy {words} >&-"
    ended = subprocess.run(
        shell, shell=True, stderr=subprocess.PIPE, cwd=place, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert ended.returncode == code, ended.stderr
    assert (b"E-OPTION-NO-OUTPUT" in ended.stderr) == bool(code)
    assert b"Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["inspect", "{bundle}"], CLOSED_PIPE),  # no verdict, as 1 would be
        (["inspect", "{bundle}", "--json"], CLOSED_PIPE),
        (["run", "{bundle}", "--inputs", "nowhere.npz"], 2),
        (["run", "{bundle}"], 2),
    ],
)
def test_a_reader_that_has_gone_changes_no_verdict(small_bundle, words, code):
    read, write = os.pipe()
    words = [word.format(bundle=small_bundle) for word in words]
    words = [sys.executable, "-m", "rnn_deploy", *words]
    ended = subprocess.Popen(words, stdout=write, stderr=write, cwd=ROOT)
    os.close(write)
    os.close(read)
    assert ended.wait() == code


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_ending_the_process_leaves_nothing_half_written(command, monkeypatch, tmp_path, number):
    def half_written(*given):
        with writing_file(tmp_path / "y.npz", force=False):
            os.kill(os.getpid(), number)

    monkeypatch.setattr("rnn_deploy.cli.run.with_bundle", half_written)
    before = signal.signal(number, signal.SIG_DFL)  # nohup has one of them ignored
    try:
        assert command("run", "b", "--inputs", "x.npz").code == 128 + number
        assert list(tmp_path.iterdir()) == []
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(command, verb):
    ended = command(verb, "-h")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith(f"Usage: rnn-deploy {verb} ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Usage: rnn-deploy"),
        (["frob"], "No such command 'frob'"),
        (["run"], "Missing argument 'BUNDLE'"),
        (["run", "b"], "Missing option '--inputs'"),
        (["run", "b", "--zzz"], "No such option"),
        (["run", "b", "--inputs", "x.npz", "--chunk", "0"], "0 is not in the range x>=1"),
        (["run", "b", "--inputs", "x.npz", "--batch-size", "-1"], "-1 is not in the range x>=1"),
        (["export", "m.keras"], "Missing option '-o'"),
        (["export", "m.keras", "-o", "b", "--to", "coreml"], "'coreml' is not one of 'onnx'"),
        (["export", "m.keras", "-o", "b", "--time", "0"], "0 is not in the range x>=1"),
        (["export", "m.keras", "-o", "b", "--seed", "-1"], "-1 is not in the range x>=0"),
    ],
)
def test_wrong_usage_ends_with_2_and_says_what_is_wrong(command, words, message):
    ended = command(*words)
    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (VerificationError("E-TEST", "m"), 1),
        (InputError("E-TEST", "m"), 2),
        (BundleError("E-TEST", "m"), 2),
        (RuntimeUnavailableError("E-TEST", "m"), 3),
        (MissingExtraError("E-TEST", "m"), 3),
        (UnsupportedModelError("E-TEST", "m"), 4),
    ],
)
def test_each_error_has_its_exit_code_and_is_one_line(command, monkeypatch, error, code):
    _raise_from_run(monkeypatch, error)
    command("run", "b", "--inputs", "x").refused(code, "error: m [E-TEST]")


def _raise_from_run(monkeypatch, error):
    from rnn_deploy.cli import run

    def raising(place, use):
        raise error

    monkeypatch.setattr(run, "with_bundle", raising)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(28, "No space left on device", "y.npz"), "y.npz: No space left on device"),
        (PermissionError(13, "Permission denied", "/b"), "/b: Permission denied"),
        (OSError("no number"), "no number"),
    ],
)
def test_an_error_of_the_system_is_one_line_too(command, monkeypatch, error, message):
    _raise_from_run(monkeypatch, error)
    command("run", "b", "--inputs", "x").refused(2, message, "nothing was changed")


def test_a_defect_of_ours_is_called_one_and_has_its_own_code(command, monkeypatch):
    _raise_from_run(monkeypatch, KeyError("oops"))
    command("run", "b", "--inputs", "x").refused(70, "a defect of rnn-deploy (KeyError", "--debug")


@pytest.mark.parametrize("error", [InputError("E-TEST", "m"), KeyError("oops"), OSError("full")])
def test_debug_shows_the_traceback(command, monkeypatch, error):
    _raise_from_run(monkeypatch, error)
    with pytest.raises(type(error), match=r"m|oops|full"):
        command("run", "b", "--inputs", "x", "--debug")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.exceptions.Abort()])
def test_a_stop_by_the_user_is_no_error(command, monkeypatch, error):
    _raise_from_run(monkeypatch, error)
    ended = command("run", "b", "--inputs", "x")
    assert (ended.code, ended.out, ended.err.strip()) == (130, "", "stopped")


def test_help_imports_nothing_heavy_and_module_is_the_command():
    code = (
        "import sys, runpy; sys.argv = ['rnn-deploy', 'export', '--help']\n"
        "try: runpy.run_module('rnn_deploy', run_name='__main__')\n"
        "except SystemExit as left: assert not left.code\n"
        "heavy = {'tensorflow', 'keras', 'onnx', 'onnxruntime', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("Usage: rnn-deploy export")


def test_every_option_has_a_help_text():
    options = [p for p in export.command.params if isinstance(p, click.Option) and not p.hidden]
    assert all(option.help for option in options)


def test_foreign_messages_become_one_short_line():
    assert one_line(ValueError("a\n  b\tc")) == "a b c"
    assert len(one_line(ValueError("x" * 9999))) == 300
    assert issubclass(UnsupportedModelError, RnnDeployError)


def test_progress_is_written_in_lines_where_there_is_no_terminal(capfd, monkeypatch):
    from rnn_deploy.cli import console

    monkeypatch.setattr(console, "LINE_SECONDS", 0.0)
    with console.progress(lines=True) as step:
        step("measuring")
    assert capfd.readouterr().err == "0 s: measuring\n"
    with console.progress() as step:
        step("measuring")
    assert capfd.readouterr().err == ""


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("width", [20, 40, 80])
def test_a_table_on_a_narrow_terminal_keeps_its_words_whole(monkeypatch, width):
    words = ["ort-cpu", "running-bound", "n17t3[16, 1, 2]", "unexpected" * 2, "", "6.4e-07", "4"]
    columns = ["runtime", "worst in", "worst case", "why", "note", ">error", ">rows"]
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(sys, "stdout", Terminal())
    console.table("a bundle", columns, [words, words])
    lines = sys.stdout.getvalue().splitlines()
    assert all(len(line) <= width for line in lines[1:])
    found = " ".join(lines).replace(";", " ").split()
    whole = [part for word in words for part in word.split() if len(part) <= width - 4]
    assert all(found.count(part) == 2 for part in whole)


def test_a_table_that_no_terminal_shows_is_as_wide_as_its_words(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    console.table("wide", ["a", "b"], [["x" * 100, "y" * 100]])
    assert "x" * 100 + " │ " + "y" * 100 in sys.stdout.getvalue()
