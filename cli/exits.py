"""Exit codes, and which of them an error ends in. No error that was foreseen shows a traceback."""

import enum


class ExitCode(enum.IntEnum):
    """What the shell is told."""

    OK = 0
    SOME_FAILED = 1
    BAD_INPUT = 2
    COULD_NOT_RUN = 3
    DECLINED = 4
    INTERRUPTED = 130


EXPLAINED = {
    ExitCode.OK: "everything succeeded",
    ExitCode.SOME_FAILED: "the work is done, and some jobs failed or wait for money; or two books differ",
    ExitCode.BAD_INPUT: "the input or the command line is wrong; nothing was done",
    ExitCode.COULD_NOT_RUN: "something that is needed does not work",
    ExitCode.DECLINED: "somebody who was asked said no; nothing was done",
    ExitCode.INTERRUPTED: "stopped by Ctrl-C or a signal; what was submitted can be resumed",
}

_UNDEFINED = ("42P01", "42703", "42704")


class CouldNotRun(Exception):
    """The command cannot go on; the message says why and what to do."""


def explain(error: BaseException) -> tuple[str, ExitCode] | None:
    """The sentence and the exit code for an error that was foreseen; None for a defect, which keeps its traceback."""
    # Imported when something went wrong, not for `--help`.
    from pressroom.errors import Conflict, InvalidInput, NotFound, PressroomError

    if isinstance(error, InvalidInput | NotFound | Conflict):
        return str(error), ExitCode.BAD_INPUT
    if isinstance(error, PressroomError | CouldNotRun):
        return str(error), ExitCode.COULD_NOT_RUN
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", ExitCode.INTERRUPTED
    return _explain_server(error)


def _explain_server(error: BaseException) -> tuple[str, ExitCode] | None:
    from redis.exceptions import RedisError
    from sqlalchemy.exc import DBAPIError

    if isinstance(error, DBAPIError):
        state = getattr(error.orig, "sqlstate", None)
        if state in _UNDEFINED:
            return "the database is not at this version's schema: run `pressroom migrate`", ExitCode.COULD_NOT_RUN
        if state is None or state[:2] in ("08", "28", "3D", "53", "55", "57", "58"):
            first = str(error.orig).strip().splitlines()[0].rstrip(".")
            return f"PostgreSQL does not answer as it should: {first}. {_LOOK}", ExitCode.COULD_NOT_RUN
    if isinstance(error, RedisError):
        return f"Redis does not answer as it should: {str(error).rstrip('.')}. {_LOOK}", ExitCode.COULD_NOT_RUN
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{error.strerror}", ExitCode.COULD_NOT_RUN
    return None


_LOOK = "`pressroom doctor` looks at every part"
