"""Everything that can go wrong, as one tree.

    ColloquyError
    ├── BadInput            the request itself is wrong; saying how to mend it
    │   └── BadField        one field of a form is wrong; `reason` is stable, for translation
    ├── NotFound            it does not exist, or belongs to somebody else: both look the same
    │   └── Foreign         it belongs to somebody else, which the log alone is told
    ├── Refused             this user's own limit; retry_after_s says when it frees
    │   ├── DemoFull        the limit of a demo, or of one visitor of it
    │   └── DemoEarly       the demo begins at a later time
    ├── Busy                the whole system is full; retry_after_s says when to try again
    ├── DeadlineExceeded    it could not be finished in its time
    ├── Unavailable         a part (engine, retriever) is down or not up yet
    │   ├── Draining        the operators take no new questions for now
    │   └── DenseUnavailable  of a hybrid search the dense half cannot be had; BM25 can
    └── StoreError          the database could not be read or written

`code` is stable and public; the message is one sentence for the user, without paths, prompts or secrets.
"""

from __future__ import annotations

from typing import ClassVar


class ColloquyError(Exception):
    """Base of all. `message` is shown to the user as it is."""

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after_s = retry_after_s


class BadInput(ColloquyError):
    """The request is wrong."""

    code = "bad_input"
    status = 422


class BadField(BadInput):
    """What was filled in cannot be used. `field` names where, `reason` what is wrong with it."""

    def __init__(self, field: str, reason: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.reason = reason


class NotFound(ColloquyError):
    """No such thing for this user."""

    code = "not_found"
    status = 404


class Foreign(NotFound):
    """It is somebody else's. To whoever asked it is a `NotFound` like any other."""


class Refused(ColloquyError):
    """This user's quota is used up."""

    code = "refused"
    status = 429


class DemoFull(Refused):
    """A demo, or this visitor of it, has had its share."""

    code = "demo_full"


class DemoEarly(Refused):
    """A demo has not begun yet."""

    code = "demo_early"


class Busy(ColloquyError):
    """The queue is full."""

    code = "busy"
    status = 503


class DeadlineExceeded(ColloquyError):
    """The time given to the request is over."""

    code = "deadline_exceeded"
    status = 504


class Unavailable(ColloquyError):
    """A part that is needed cannot be reached."""

    code = "unavailable"
    status = 503


class Draining(Unavailable):
    """The operators let running answers finish and take no new questions."""

    code = "draining"


class DenseUnavailable(Unavailable):
    """A hybrid search lost its dense half; the same search by BM25 is possible."""

    code = "dense_unavailable"


class StoreError(ColloquyError):
    """The database failed."""

    code = "store_error"
    status = 500
