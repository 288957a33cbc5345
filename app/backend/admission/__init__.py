"""The one door before the engine: bounded, fair, honest about the wait. `door` has its promises."""

from app.backend.admission.door import Admission
from app.backend.admission.gate import Gate, gate
from app.backend.admission.guests import Guests, create_guests, network_of
from app.backend.admission.snapshot import Queue, Standing
from app.backend.admission.visit import Visit

__all__ = ["Admission", "Gate", "Guests", "Queue", "Standing", "Visit", "create_guests", "gate", "network_of"]
