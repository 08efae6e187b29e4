"""Every error that a user can get: its class, its stable code, its exit code.

A message says what went wrong, what was expected and what to do next, in one line. Code raises
the narrowest class; only the command line prints. docs/errors.md lists every code.
"""

import re


class RnnDeployError(Exception):
    """Base of every error that rnn-deploy raises on purpose.

    code: stable, such as "E-STATE-OTHER-BUNDLE"; programs and tests match it, not the sentence.
    message: the sentence without the code, to quote inside another message. exit_code: the exit
    code of the command line.
    """

    exit_code = 2

    def __init__(self, code: str, message: str) -> None:
        self.code, self.message = code, message
        super().__init__(code, message)

    def __str__(self) -> str:
        return f"{self.message} [{self.code}]"


class VerificationError(RnnDeployError):
    """A comparison is outside its budget, or nothing could be compared."""

    exit_code = 1


class InputError(RnnDeployError):
    """A file, tensor or option from the user is invalid."""


class BundleError(InputError):
    """A bundle is missing, damaged or altered."""


class BundleReplacedError(BundleError):
    """Another bundle has replaced the one that was being read."""


class RuntimeUnavailableError(RnnDeployError):
    """A runtime is not installed, or has no device on this machine."""

    exit_code = 3


class MisplacedError(RuntimeUnavailableError):
    """A runtime ran a recurrent node on another device than the requested one."""


class MissingExtraError(RuntimeUnavailableError):
    """A package is not installed; the message names the extra that installs it."""


class RuntimeAbortedError(RnnDeployError):
    """A runtime crashed its process, hung, or failed with an error of its own."""

    exit_code = 3


class ClosedError(InputError):
    """A model, stream or runner was used after it was closed."""


class UnsupportedModelError(RnnDeployError):
    """The model contains something that cannot be exported exactly."""

    exit_code = 4


# TensorFlow and Keras surround the cause of an error with colours, stack traces and arguments.
_SHORTENED = (
    (r"\x1b\[[0-9;]*m", ""),
    (r"Graph execution error:\s*", ""),
    (r"Detected at node .*?(?:<stack traces unavailable>|Node: '[^']*')\s*", ""),
    (r"\[\[\{\{node ([^}]*)\}\}\]\]", r"(node \1)"),
    (r"\s*\[Op:[^\]]*\](?: name: \S*)?", ""),
    (
        r"Exception encountered when calling layer [\"']?([^\"'\s]+)[\"']? \(type [^)]*\)\.",
        r"layer '\1':",
    ),
    (r"(?:Call a|A)rguments received by .*", ""),
)


def one_line(error: BaseException) -> str:
    """Return the message of any error as one line of at most 300 characters, to quote in ours."""
    message = error.message if isinstance(error, RnnDeployError) else str(error)
    for pattern, new in _SHORTENED:
        message = re.sub(pattern, new, message, flags=re.DOTALL)
    return " ".join(message.split())[:300]
