"""The memory that both processes share: a file without a name, mapped here, read and written there."""

import mmap
import os
import weakref

import numpy as np

from unruffled_worker.errors import ModelFault

#: Where tensors begin; what is before says which run is to stop. The other side knows this number too.
TENSORS_START = 16384
_ALIGNMENT = 64


def aligned(size):
    """The next multiple of what vector instructions like."""
    return -(-size // _ALIGNMENT) * _ALIGNMENT


class Memory:
    """The shared file."""

    def __init__(self, fd, limit):
        self.fd = fd
        self.limit = limit
        self.control = mmap.mmap(fd, TENSORS_START)
        self.map = self.control

    def stop_wanted(self):
        """The number of the run that is to stop."""
        return int.from_bytes(self.control[:8], "little")

    def region(self, start, end):
        """These bytes as an array."""
        if end > self.limit:
            raise ModelFault(
                "its tensors take %d bytes of shared memory, over the limit of %d: raise `shared_memory_max`"
                % (end, self.limit)
            )
        pages = -(-end // mmap.PAGESIZE) * mmap.PAGESIZE
        # The other side may have cut the file, and to touch what is beyond its end is to die.
        if os.fstat(self.fd).st_size < pages:
            os.ftruncate(self.fd, pages)
        if len(self.map) < end:
            # What still uses the old mapping keeps it.
            self.map = mmap.mmap(self.fd, pages)
        return np.frombuffer(self.map, np.uint8, end - start, start)

    def replace(self, fd):
        """Another file in place of this one, parts of which the model holds on to."""
        os.close(self.fd)
        self.__init__(fd, self.limit)


class Lease:
    """The inputs of one run in shared memory, which the next run overwrites unless somebody holds on to them."""

    def __init__(self, region):
        self.region = region
        self.watch = None if region is None else weakref.ref(region)

    def end(self):
        """Whether somebody still holds a part of it."""
        self.region = None
        return self.watch is not None and self.watch() is not None
