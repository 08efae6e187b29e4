"""Every error a person can meet, each with the exit code the command line gives for it.

A message says what was asked, what was found and what to do next, in one line. Code raises
the narrowest class; only the command line prints.
"""


class RnnDeployError(Exception):
    """Base of every error raised on purpose; `exit_code` is the command line's."""

    exit_code = 2


class VerificationError(RnnDeployError):
    """A comparison left its budget, or nothing could be compared."""

    exit_code = 1


class InputError(RnnDeployError):
    """What the user gave (a file, a tensor, an option) is not what is needed."""


class BundleError(InputError):
    """A bundle is missing, damaged or altered."""


class RuntimeUnavailableError(RnnDeployError):
    """A runtime is not installed, has no device here, or did not keep a node where asked."""

    exit_code = 3


class MisplacedError(RuntimeUnavailableError):
    """A runtime ran a recurrent node on another device than the one asked for."""


class MissingExtraError(RuntimeUnavailableError):
    """A package is missing that an extra of rnn-deploy installs."""


class RuntimeAbortedError(RnnDeployError):
    """A runtime ended its process, hung, or failed in a way of its own while it was asked."""

    exit_code = 3


class UnsupportedModelError(RnnDeployError):
    """The model holds something that cannot be exported exactly."""

    exit_code = 4


def one_line(error: BaseException) -> str:
    """A foreign error's message as one line of bearable length, to stand inside ours."""
    return " ".join(str(error).split())[:300]
