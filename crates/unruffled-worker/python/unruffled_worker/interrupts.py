"""SIGINT stops the model while it runs, and nothing else."""

import signal


class Interrupts:
    """A window in which SIGINT raises KeyboardInterrupt, once, if this very run is to stop."""

    def __init__(self, memory):
        self.memory = memory
        self.run = 0
        self.is_open = False
        signal.signal(signal.SIGINT, self._on_signal)

    def _on_signal(self, *_):
        if self.is_open and self._is_wanted():
            self.is_open = False
            raise KeyboardInterrupt

    def _is_wanted(self):
        # A signal that comes late, when its run is over, must not hit the next.
        return self.memory.stop_wanted() == self.run

    def open(self):
        """From here on the run may be interrupted, also by a signal that has come already."""
        self.is_open = True
        if self._is_wanted():
            self.is_open = False
            raise KeyboardInterrupt

    def close(self):
        """From here on it may not."""
        self.is_open = False
