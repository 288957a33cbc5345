"""What the program tells its operators: metrics and a structured log.

Invariant: no question, answer, passage, name or secret goes into either; ids, codes and numbers do.
"""

from app.backend.telemetry.logs import configure_logging
from app.backend.telemetry.metrics import Telemetry

__all__ = ["Telemetry", "configure_logging"]
