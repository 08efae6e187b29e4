"""State files: write the states of a stream, and check that a file belongs to the given model.

A state file is an .npz with one array per state, under the name of the state's input. Its text
`rnn_deploy/owner`, in JSON, says which model the states belong to. If the rows have keys,
`rnn_deploy/keys` is the list of them, in JSON. The owner has:

    weights      the digest of the weights, `source.digest` in the manifest
    entry        the entry point, such as "stream"
    bundle       the digest of the manifest: which bundle wrote the file
    rnn_deploy   the version that wrote the file

A file fits if the weights, the entry point, and the names, shapes and dtypes of the states are
equal. The digest of the bundle may differ: it changes with every export of the same model (with
another lowering, or quantised) and with `tune`, and a stream may continue in all of these bundles.
New weights give the same numbers another meaning, so a state from before a training is refused.
Two models with equal weights that differ in something else, such as an activation, cannot be
distinguished.
"""

import json
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rnn_deploy.bundle.npz import read_npz, write_npz
from rnn_deploy.bundle.store import Bundle
from rnn_deploy.errors import InputError
from rnn_deploy.optional import installed_version
from rnn_deploy.spec import Array

OWNER = "rnn_deploy/owner"
KEYS = "rnn_deploy/keys"  # JSON: the key of each row, strings or whole numbers
Key = str | int
OVERRIDE = "to use it anyway, add --state-any-bundle (in Python: any_bundle=True)"


@dataclass(frozen=True)
class StateOwner:
    """The model and entry point that states belong to; the digests of its weights and bundle."""

    weights: str
    entry: str
    bundle: str


def owner_of(bundle: Bundle, entry: str) -> StateOwner:
    """Return the owner of the states of an entry point of `bundle`."""
    return StateOwner(bundle.manifest.source.digest, entry, bundle.digest)


def write_states(
    place: Path,
    states: Mapping[str, Array],
    owner: StateOwner | None,
    keys: Sequence[Hashable] | None = None,
) -> None:
    """Write states by input name. Without an owner, readers need `any_bundle`.

    keys: what each row belongs to. Raises InputError for keys that are neither text nor numbers.
    """
    facts = {} if owner is None else {OWNER: np.array(_text_of(owner))}
    if keys is not None:
        odd = [key for key in keys if type(key) not in (str, int)]
        if odd:
            raise InputError(
                "E-STATE-KEYS", f"{place}: the key {odd[0]!r} cannot be saved; use text or integers"
            )
        facts[KEYS] = np.array(json.dumps(list(keys)))
    write_npz(place, {**states, **facts})


def read_states(
    place: Path, owner: StateOwner | None, *, any_bundle: bool = False
) -> dict[str, Array]:
    """Read states by input name, in the order of the rows.

    owner: the model that reads. any_bundle: accept states of another model, or plain arrays.
    Raises InputError for a file that cannot be read, or that belongs to another model.
    """
    return read_keyed_states(place, owner, any_bundle=any_bundle)[0]


def read_keyed_states(
    place: Path, owner: StateOwner | None, *, any_bundle: bool = False
) -> tuple[dict[str, Array], list[Key] | None]:
    """Read states as `read_states` does, and the key of each row; None if the rows have no keys."""
    try:
        states = read_npz(place)
        found = _owner_in(states.pop(OWNER, None))
        text = states.pop(KEYS, None)
        keys = None if text is None else _keys_in(str(text), states)
    except (ValueError, RecursionError) as error:
        raise InputError(
            "E-STATE-UNREADABLE", f"{place}: no states can be read from it ({error})"
        ) from error
    if not any_bundle:
        _refuse_other_owner(place, found, owner)
    return states, keys


def _keys_in(text: str, states: Mapping[str, Array]) -> list[Key]:
    keys: list[Key] = json.loads(text)
    rows = {value.shape[:1] for value in states.values()}
    if not isinstance(keys, list) or any(type(key) not in (str, int) for key in keys):
        raise ValueError(f"'{KEYS}' is {text[:80]!r}, expected a list of text and integers")
    if len(set(keys)) < len(keys) or rows - {(len(keys),)}:
        raise ValueError(f"'{KEYS}' has {len(keys)} keys, and the states have other rows")
    return keys


def refuse_other_names(given: Collection[str], expected: Collection[str], where: str) -> None:
    """Raise InputError unless the states have exactly the expected names."""
    if set(given) != set(expected):
        raise InputError(
            "E-STATE-NAMES",
            f"{where} holds {', '.join(sorted(given)) or 'no states'}; the states of this model are"
            f" {', '.join(sorted(expected)) or 'none'}",
        )


def _refuse_other_owner(place: Path, found: StateOwner | None, expected: StateOwner | None) -> None:
    if found is None or expected is None:
        which = "the file does not say" if found is None else "this stream does not know"
        raise InputError(
            "E-STATE-NO-OWNER", f"{place}: {which} which model the states belong to; {OVERRIDE}"
        )
    if found.weights != expected.weights:
        raise InputError(
            "E-STATE-OTHER-BUNDLE",
            f"{place}: the states belong to another model, with the weights {found.weights[:12]},"
            f" expected {expected.weights[:12]}; use the bundle that wrote them (the SHA-256 of its"
            f" manifest is {found.bundle[:12]}); {OVERRIDE}",
        )
    if found.entry != expected.entry:
        raise InputError(
            "E-STATE-OTHER-ENTRY",
            f"{place}: the states belong to the entry point '{found.entry}', expected"
            f" '{expected.entry}'; {OVERRIDE}",
        )


def _text_of(owner: StateOwner) -> str:
    facts = {"weights": owner.weights, "entry": owner.entry, "bundle": owner.bundle}
    return json.dumps(facts | {"rnn_deploy": installed_version("rnn-deploy")})


def _owner_in(text: Array | None) -> StateOwner | None:
    """Return the owner that a file names, or None; ignore fields that a later version adds."""
    if text is None:
        return None
    facts = json.loads(str(text))
    names = ("weights", "entry", "bundle")
    if not isinstance(facts, dict) or any(type(facts.get(name)) is not str for name in names):
        raise ValueError(f"'{OWNER}' is {str(text)[:80]!r}, which names no owner")
    return StateOwner(*(facts[name] for name in names))
