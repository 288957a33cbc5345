"""The one door before the engine: bounded, fair, honest about the wait. `door` has its promises."""

from app.backend.admission.door import Admission, Gate, Visit
from app.backend.admission.snapshot import Queue, Standing

__all__ = ["Admission", "Gate", "Queue", "Standing", "Visit"]
