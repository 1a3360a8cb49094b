"""What a model prints and logs: to standard error as records, one a line, each with the request that it belongs to."""

import io
import json
import logging
import os
import sys
import threading

from unruffled_worker.context import current

#: Begins a line that is a record; any other line was written past us, by native code.
MARK = "\x1eunruffled "
#: A line is cut here, so that nobody has to hold more.
LINE_MAX = 3072


def _write(record):
    context = current()
    if context is not None:
        record["request"] = context.request_id
    line = MARK + json.dumps(record, ensure_ascii=True, default=str) + "\n"
    try:
        # One write for one record, so that threads do not mix theirs.
        os.write(2, line.encode())
    except OSError:
        pass  # Nobody reads any more: what would hear of it is gone.


_STREAMS = []

class Lines(io.TextIOBase):
    """Standard output or error, cut into lines."""

    def __init__(self, stream, raw):
        self.stream = stream
        self.buffer = raw
        self.lock = threading.RLock()
        self.rest = ""

    encoding = "utf-8"
    errors = "backslashreplace"

    def writable(self):
        return True

    def fileno(self):
        return 2

    def isatty(self):
        return False

    def write(self, text):
        with self.lock:
            self.rest += text
            while True:
                end = self.rest.find("\n")
                if end < 0 and len(self.rest) < LINE_MAX:
                    break
                end = LINE_MAX if end < 0 or end > LINE_MAX else end
                line, self.rest = self.rest[:end], self.rest[end:].removeprefix("\n")
                _write({"stream": self.stream, "text": line})
        return len(text)

    def flush(self):
        with self.lock:
            if self.rest:
                line, self.rest = self.rest, ""
                _write({"stream": self.stream, "text": line})


class Records(logging.Handler):
    """Sends records of ``logging`` on, with their level."""

    def emit(self, record):
        try:
            text = self.format(record)
        except Exception as error:
            text = "%s (its arguments do not fit: %s)" % (record.msg, error)
        for line in text.splitlines() or [""]:
            _write({"level": record.levelno, "logger": record.name, "text": line[:LINE_MAX]})


def begin():
    """Takes over what Python code prints; native code already writes to standard error, whatever it means to."""
    raw = sys.stderr.buffer
    sys.stdout = Lines("stdout", raw)
    sys.stderr = Lines("stderr", raw)
    # A model may put others in their place, to be silent.
    _STREAMS.extend((sys.stdout, sys.stderr))
    root = logging.getLogger()
    root.addHandler(Records())
    logging.captureWarnings(True)


def listen(level):
    """From which level on records are wanted."""
    logging.getLogger().setLevel(level)


def flush():
    """Sends lines that have no end yet."""
    for stream in _STREAMS:
        stream.flush()
