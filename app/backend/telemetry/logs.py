"""The log: one line of JSON a record, on stderr.

Invariant: whatever is in a value, a record stays one line. No line of ours holds a question, an answer, a passage or a
secret; a traceback holds what the library that failed has to say.
"""

from __future__ import annotations

import logging
import sys

import structlog


def configure_logging(*, quiet: bool) -> None:
    """Send our log records, and the libraries' warnings, to stderr as one line of JSON. Call it once, at the start.

    `quiet` leaves out what needs nobody's attention, for a person at a terminal.
    """
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(ensure_ascii=False),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("app").setLevel(logging.WARNING if quiet else logging.INFO)
    handler.addFilter(lambda record: record.levelno >= logging.WARNING or record.name.startswith("app."))
