"""On whose behalf a model runs, as context variables: tasks and generators see their own."""

import contextvars
import time

_CURRENT = contextvars.ContextVar("unruffled_request", default=None)
_BATCH = contextvars.ContextVar("unruffled_batch", default=())


class Context:
    """What the caller of one request has sent along."""

    __slots__ = ("request_id", "traceparent", "tracestate", "deadline", "priority", "caller", "baggage", "rows")

    def __init__(self, raw):
        get = raw.get
        #: Names the request in logs, replies and errors.
        self.request_id = get("id")
        #: Where the request stands in a distributed trace: the W3C header, or None.
        self.traceparent = get("traceparent")
        #: The vendors' part of it, or None.
        self.tracestate = get("tracestate")
        seconds = get("timeout")
        #: When the caller gives up, as ``time.monotonic()`` counts; None waits for ever.
        self.deadline = None if seconds is None else time.monotonic() + seconds
        #: ``interactive``, ``normal`` or ``bulk``.
        self.priority = get("priority", "normal")
        #: The tenant, user, key or window, or None.
        self.caller = get("caller")
        #: Names and values that travel with the request.
        self.baggage = dict(get("baggage", ()))
        #: How many rows it has brought to the batch.
        self.rows = get("rows", 1)

    def remaining(self):
        """The seconds until the caller gives up, or None."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())

    def __repr__(self):
        return "Context(request_id=%r)" % (self.request_id,)


def current():
    """The context of the request that is being run; None outside of one, and where a run has several at once."""
    return _CURRENT.get()


def current_batch():
    """The contexts of all requests of this run, in the order of their rows."""
    return _BATCH.get()


def enter(raw):
    """Makes these the contexts of the run that begins."""
    batch = tuple(map(Context, raw))
    _BATCH.set(batch)
    _CURRENT.set(batch[0] if len(batch) == 1 else None)
