"""The large libraries (vLLM, torch, transformers) are imported by one thread at a time.

They import each other. Two threads at it may each hold the module that the other waits for; Python then lets one go on
with half a module, which ends in an ImportError about a name that is there.
"""

from __future__ import annotations

import threading

one_at_a_time = threading.Lock()
