"""What goes wrong, and how it is told."""

import os
import traceback

FRAMES_SHOWN = 4
TEXT_MAX = 1 << 15


class InvalidInput(Exception):
    """Raised by a model for an input that its caller must change; ``input`` names which."""

    def __init__(self, message, input=None):
        super().__init__(message)
        self.input = input


class ModelFault(Exception):
    """The model is not what it must be: no class, no signature, a wrong output."""

    def __init__(self, message, tensor=None):
        super().__init__(message)
        self.tensor = tensor


def short(text):
    """As much of a text as anybody reads."""
    return text if len(text) <= TEXT_MAX else text[:TEXT_MAX] + " ..."


def tensor_name(tensor):
    """What an error says is at fault, as the name that it should be."""
    return None if tensor is None else str(tensor)


def describe(error):
    """Type and message, and the last places in the user's own code, one a line."""
    if isinstance(error, ModelFault):
        text = str(error)
    elif isinstance(error, SystemExit):
        text = "called sys.exit(%s): a model raises an exception instead" % error.code
    else:
        text = "".join(traceback.format_exception_only(type(error), error)).strip()
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(("<unruffled_worker", "<string>", "<frozen "))
    ]
    lines = [text]
    for frame in frames[-FRAMES_SHOWN:]:
        place = "  %s:%s in %s" % (os.path.basename(frame.filename), frame.lineno, frame.name)
        lines.append(place + (": " + frame.line if frame.line else ""))
    return short("\n".join(lines))
