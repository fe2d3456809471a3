"""Logging: a constant event name, data as fields, one line each; key=value on a terminal, JSON elsewhere."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog


def configure_logging(level: str, *, sandbox: bool, stream: Any = None) -> None:
    """Send every logger of the process through one formatter. With `sandbox`, every line says so."""
    output = stream if stream is not None else sys.stderr
    marks: list[Any] = [_mark_sandbox] if sandbox else []
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        *marks,
    ]
    on_terminal = hasattr(output, "isatty") and output.isatty()
    render = structlog.dev.ConsoleRenderer() if on_terminal else structlog.processors.JSONRenderer()
    finish: list[Any] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if not on_terminal:
        finish.append(structlog.processors.format_exc_info)
    handler = logging.StreamHandler(output)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=[*finish, render], foreign_pre_chain=shared))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for chatty in ("celery", "kombu", "botocore", "urllib3", "boto3", "s3transfer", "asyncio", "PIL"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _mark_sandbox(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event["provider"] = "SANDBOX"
    return event
