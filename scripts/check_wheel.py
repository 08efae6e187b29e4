#!/usr/bin/env python3
"""Build the wheel, install it into empty environments, and run every verb there.

    scripts/check_wheel.py [base] [ort] [litert] [openvino] [--python PYTHON] [--made FOLDER]

Runs in the development environment, which makes the bundle; the empty environments have the base
or one extra alone: ort, litert, openvino. Each extra is installed by the command that rnn-deploy
prints where it misses the extra, so that the command is known to work. Needs git and an index.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RUNTIMES = {"ort": "ort-cpu", "litert": "litert", "openvino": "openvino-cpu"}  # by extra
EXTRAS = ("base", *RUNTIMES)
INPUTS = "letters.jsonl"
INSTALL = "pip install "
# The hooks of PEP 517, called as pip calls them: in the folder to build, backend and folder given.
BUILD = "import sys, importlib; print(getattr(importlib.import_module({!r}), {!r})(sys.argv[1]))"


class CheckFailed(Exception):
    """Something is not as it should be."""


def say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def expect(holds: object, message: str) -> None:
    if not holds:
        raise CheckFailed(message)


def clean_environment() -> dict[str, str]:
    """Return the environment variables without those that lead Python to other packages."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}


def output_of(*words: str | Path, cwd: Path) -> str:
    ended = subprocess.run(
        [str(w) for w in words], cwd=cwd, env=clean_environment(), capture_output=True, text=True
    )
    expect(ended.returncode == 0, f"{shlex.join(map(str, words))}\n{ended.stdout}{ended.stderr}")
    return ended.stdout


@dataclass(frozen=True)
class Environment:
    """A virtual environment and an empty folder to run commands in, far from the source tree."""

    root: Path

    @classmethod
    def create(cls, root: Path, python: str) -> "Environment":
        output_of(python, "-m", "venv", "--without-pip", root, cwd=root.parent)
        (root / "cwd").mkdir()
        (root / "cwd" / INPUTS).write_text("[[1, 0, 0, 0], [0, 1, 0, 0]]\n", encoding="utf-8")
        return cls(root)

    @property
    def programs(self) -> Path:
        return self.root / ("Scripts" if os.name == "nt" else "bin")

    def pip_install(self, *words: str | Path) -> None:
        pip = (sys.executable, "-m", "pip", "--python", self.programs / "python")
        output_of(*pip, "install", "--quiet", *words, cwd=self.root)

    def command(self, *words: str | Path, code: int = 0, says: tuple[str, ...] = ()) -> str:
        """Run `rnn-deploy WORDS`; expect the exit code and the words in what it prints."""
        program = self.programs / "rnn-deploy"
        # Without the user's cache, which may hold a runtime.
        variables = clean_environment() | {"RNN_DEPLOY_CACHE": str(self.root / "cache")}
        ended = subprocess.run(
            [str(w) for w in (program, *words)],
            cwd=self.root / "cwd", env=variables, capture_output=True, text=True,
        )  # fmt: skip
        everything = ended.stdout + ended.stderr
        shown = f"{self.root.name}: rnn-deploy {shlex.join(map(str, words))}: exit code"
        shown += f" {ended.returncode}, expected {code}\n{everything}"
        expect(ended.returncode == code and "Traceback" not in everything, shown)
        for word in says:
            expect(word in everything, f"{shown}\nexpected it to print: {word}")
        return ended.stdout if code == 0 else ended.stderr


def built(folder: Path, python: str) -> Path:
    """Build the sdist and from it the wheel; check what they contain. Return the wheel."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    builder = Environment.create(folder / "builder", python)
    builder.pip_install(*project["build-system"]["requires"])
    backend = project["build-system"]["build-backend"]

    def build(kind: str, source: Path, to: Path) -> Path:
        to.mkdir()
        hook = BUILD.format(backend, f"build_{kind}")
        name = output_of(builder.programs / "python", "-c", hook, to, cwd=source)
        return to / name.split()[-1]

    before = set(ROOT.iterdir())
    direct = build("wheel", ROOT, folder / "direct")
    sdist = build("sdist", ROOT, folder / "sdist")
    left = set(ROOT.iterdir()) - before
    expect(not left, f"the build wrote into the source tree: {left}")
    with tarfile.open(sdist) as archive:
        # Python before 3.11.4 has no filter, and takes no argument for one.
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        archive.extractall(folder / "unpacked")
    (source,) = (folder / "unpacked").iterdir()
    wheel = build("wheel", source, folder / "wheel")

    tracked = set(output_of("git", "ls-files", cwd=ROOT).splitlines())
    unpacked = {p.relative_to(source).as_posix() for p in source.rglob("*") if p.is_file()}
    same("the sdist", unpacked, tracked | {"PKG-INFO"})
    for each in (direct, wheel):
        names = {n for n in zipfile.ZipFile(each).namelist() if ".dist-info/" not in n}
        same(each.name, names, {name for name in tracked if name.startswith("rnn_deploy/")})
    return wheel


def same(what: str, found: set[str], wanted: set[str]) -> None:
    expect(not wanted - found, f"{what} lacks {sorted(wanted - found)}")
    expect(not found - wanted, f"{what} has files that git does not: {sorted(found - wanted)}")


def check_base(base: Environment, bundle: Path, model: Path) -> None:
    """Run every verb without any extra: it works, or exits with 3 and the pip command."""
    source = ROOT / "models" / "hello.py"
    base.command("--help", says=("conformance",))
    base.command("--version", says=("version",))
    base.command("inspect", bundle, says=("next_letter",))
    base.command("runtimes", says=("[ort]", "[ort-gpu]", "[litert]", "[openvino]", "[micro]"))
    for words in (
        ("build", source, "-o", "x.keras"),
        ("export", model, "-o", "out"),
        ("inspect", model),
        ("tune", bundle, "--model", model, "-o", "tuned"),
        ("conformance", "--save", "suite"),
    ):
        base.command(*words, code=3, says=("[export]'",))
    for words in (
        ("run", bundle, "--inputs", INPUTS),
        ("verify", bundle),
        ("debug", bundle),
        ("bench", bundle),
        ("compare", bundle, bundle, "--inputs", INPUTS),
    ):
        base.command(*words, code=3, says=("[ort]'", "[litert]'", "[openvino]'"))
    base.command("conformance", "--runtime", "ort-cpu", code=3, says=("[ort]'",))
    words = ("score", bundle, "--input", INPUTS, "--output", "scores")
    base.command(*words, code=3, says=("[score]'",))
    base.command("verify", bundle, "--html", "x.html", code=3, says=("[report]'",))
    base.command("bench", bundle, "--plot", "x.svg", code=3, says=("[report]'",))


def check_extra(alone: Environment, extra: str, bundle: Path, model: Path) -> None:
    """Add one extra by the command that is printed without it; run every verb that it serves."""
    runtime = RUNTIMES[extra]
    words = ("run", bundle, "--inputs", INPUTS)
    printed = alone.command(*words, "--runtime", runtime, code=3, says=(INSTALL,))
    command = printed.partition(INSTALL)[2].partition(" [E-")[0]
    alone.pip_install(*shlex.split(command))

    alone.command("inspect", bundle, says=("next_letter",))
    listed = json.loads(alone.command("runtimes", "--json"))
    unavailable = {each["runtime"]: each["unavailable"] for each in listed}
    # The runtime c needs a compiler and no extra.
    here = [name for name, why in unavailable.items() if why is None and name != "c"]
    expect(here == [runtime], f"{extra}: expected the runtime {runtime} alone, found {here}")
    alone.command(*words, "-o", "y.npz", "--state-out", "state.npz", says=("next_letter",))
    alone.command(*words, "--runtime", runtime, "--state-in", "state.npz")
    report = json.loads(alone.command("verify", bundle, "--json"))
    expect(report["passed"] and report["comparisons"], f"{extra}: nothing was verified")
    alone.command("debug", bundle)
    alone.command("compare", bundle, bundle, "--inputs", INPUTS)
    figures = json.loads(alone.command("bench", bundle, "--seconds", "0.01", "--json"))
    failures = [result["failure"] for result in figures["results"] if result["failure"]]
    expect(not failures, f"{extra}: bench failed: {failures}")
    for words in (
        ("verify", bundle, "--against", model),
        ("debug", bundle, "--model", model),
        ("bench", bundle, "--lowering", "scan", "--model", model),
        ("bench", bundle, "--against", "tf2onnx", "--model", model),
    ):
        alone.command(*words, code=3, says=("[export]'",))


def check(folder: Path, extras: Sequence[str], python: str, made: Path | None) -> None:
    began = time.monotonic()

    def done(what: str) -> None:
        say(f"check_wheel: {time.monotonic() - began:4.0f} s: {what}")

    wheel = built(folder, python)
    done("sdist and wheel hold what git does")
    model = (made or folder) / "hello.keras"
    bundle = (made or folder) / "hello"
    if made is None:
        ours = (sys.executable, "-m", "rnn_deploy")
        output_of(*ours, "build", "models/hello.py", "-o", model, cwd=ROOT)
        output_of(*ours, "export", model, "-o", bundle, "--long", "300", cwd=ROOT)
        done("made a bundle")
    for extra in extras:
        alone = Environment.create(folder / extra, python)
        alone.pip_install(wheel)
        if extra == "base":
            check_base(alone, bundle, model)
        else:
            check_extra(alone, extra, bundle, model)
        done(f"every verb in an environment with {extra} alone")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("extras", nargs="*", help="by default all")
    parser.add_argument("--python", default=sys.executable, help="the Python to install into")
    parser.add_argument(
        "--made",
        type=Path,
        help="a folder that has hello.keras and the bundle hello already",
    )
    given = parser.parse_args()
    made = None if given.made is None else given.made.resolve()
    with tempfile.TemporaryDirectory(prefix="wheel-") as folder:
        try:
            check(Path(folder), given.extras or EXTRAS, given.python, made)
        except CheckFailed as failure:
            say(f"check_wheel: FAILED: {failure}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
