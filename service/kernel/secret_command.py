"""Secrets that a vault or a key management service keeps: a command of yours fetches them.

Each has a command-line tool that knows who it may believe, how, and for how long. So there is one
adapter for all of them, and none of their protocols here (decision 0029).
"""

import re
import shlex
import subprocess
from collections.abc import Collection

TIMEOUT_S = 30.0
_LINE = re.compile(r"([A-Z_]+)=(.*)")


class SecretCommandError(ValueError):
    """It couldn't be run, or didn't say what it should; nothing of what it said is quoted."""


def secrets_of(command: str, names: Collection[str]) -> dict[str, str]:
    """What a command prints, as lines of NAME=value; blank ones, and those after a #, are none.

    It runs without a shell and without input, and what it says on standard error is shown as it is.
    Raises SecretCommandError, also where it names something that isn't one of `names`.
    """
    try:
        done = subprocess.run(  # noqa: S603  # the operator's own
            shlex.split(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            timeout=TIMEOUT_S,
            check=False,
        )
        lines = done.stdout.decode("utf-8").splitlines()
    except subprocess.TimeoutExpired:
        raise SecretCommandError(f"it took more than {TIMEOUT_S:g} s") from None
    except (OSError, IndexError) as error:
        raise SecretCommandError(f"it can't be run: {error}") from None
    except ValueError:
        raise SecretCommandError("it isn't a command, or what it prints isn't UTF-8") from None
    if done.returncode:
        raise SecretCommandError(f"it ended with {done.returncode}")
    return _parsed(lines, names)


def _parsed(lines: list[str], names: Collection[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        said = _LINE.fullmatch(line.strip())
        if said is None:
            raise SecretCommandError(f"line {number} isn't NAME=value")
        name, value = said.groups()
        if name not in names or name in found:
            raise SecretCommandError(
                f"line {number} names no secret, or one twice; secrets are {', '.join(names)}"
            )
        found[name] = value
    return found
