"""`_run.json` in the output folder: the inputs and settings of a run, and how it ended.

It is written when the run starts, so that the next run can continue it, and again at the end. The
counts come from the parts.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from rnn_deploy.bundle.store import writing_file
from rnn_deploy.errors import InputError

NAME = "_run.json"
FORMAT = 1


@dataclass(frozen=True)
class RunRecord:
    """A run. settings: determine the output, besides the inputs. inputs: files with their sizes.

    failures: the first failed sequences, with key and reason; failed counts them all.
    """

    bundle: str
    digest: str
    weights: str
    key: str
    states: bool
    settings: dict[str, Any]
    inputs: list[dict[str, Any]]
    sequences: int
    shards: int
    versions: dict[str, str]
    complete: bool = False
    failed: int = 0
    failed_shards: list[dict[str, Any]] = field(default_factory=list)
    failures: list[dict[str, Any]] = field(default_factory=list)
    carried_states: int = 0
    seconds: float = 0.0
    format: int = FORMAT

    @property
    def identity(self) -> str:
        """Return a digest of everything that determined the output."""
        facts = json.dumps([self.digest, self.settings, self.inputs], sort_keys=True)
        return hashlib.sha256(facts.encode()).hexdigest()

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the record of a run; raise InputError if it is missing or damaged."""
        place = folder / NAME
        try:
            facts = json.loads(place.read_text(encoding="utf-8"))
            if facts["format"] != FORMAT:
                raise ValueError(f"its format is {facts['format']!r}, expected {FORMAT}")
            return cls(**facts)
        except FileNotFoundError as error:
            raise InputError(
                "E-SCORE-NO-RUN",
                f"{folder}: has no {NAME}, so it is not the output of rnn-deploy score",
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                "E-SCORE-NO-RUN", f"{place}: is damaged ({error}); score to a new folder"
            ) from error

    def write(self, folder: Path) -> None:
        """Write the record, and replace an older one."""
        with writing_file(folder / NAME, force=True) as draft:
            draft.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    def ended(self, **facts: Any) -> Self:
        """Return the record at the end of the run."""
        return replace(self, **facts)


def refuse_other_run(folder: Path, planned: RunRecord, *, force: bool) -> None:
    """Raise InputError if the folder has another run, unless `force` replaces what differs."""
    if not (folder / NAME).exists():
        if any(not path.name.startswith(".") for path in folder.iterdir()):
            raise InputError(
                "E-OPTION-NOT-REPLACED",
                f"{folder}: exists, is not empty, and is not the output of rnn-deploy score; choose"
                " another --output",
            )
        return
    if force or not any(folder.glob("part-*")):
        return
    there = RunRecord.read(folder)
    advice = "choose another --output, or add --force to replace what differs"
    if there.digest != planned.digest:
        raise InputError(
            "E-SCORE-OTHER-BUNDLE",
            f"{folder}: belongs to another bundle, {there.digest[:12]}, expected"
            f" {planned.digest[:12]}; {advice}",
        )
    _refuse_changed(folder, there, planned, advice)
    differing = [n for n in planned.settings if planned.settings[n] != there.settings.get(n)]
    if differing:
        name = differing[0]
        raise InputError(
            "E-SCORE-OTHER-SETTINGS",
            f"{folder}: was scored with {name} {_shown(there.settings.get(name))}, now"
            f" {_shown(planned.settings[name])}; {advice}",
        )


def _refuse_changed(folder: Path, there: RunRecord, planned: RunRecord, advice: str) -> None:
    before = {facts["path"]: facts for facts in there.inputs}
    now = {facts["path"]: facts for facts in planned.inputs}
    changed = [path for path in {**before, **now} if before.get(path) != now.get(path)]
    if changed:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise InputError(
            "E-SCORE-CHANGED",
            f"{changed[0]}{more}: changed since {folder} was scored; {advice}",
        )


def _shown(value: Any) -> str:
    return "none" if value in (None, "") else str(value)
