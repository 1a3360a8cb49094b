"""Functions of every colour, called from a place that waits: plain ones, coroutines, generators of both kinds."""

import asyncio
import inspect


class Calls:
    """Runs what functions return. Coroutines share one event loop, so that what they open stays usable."""

    def __init__(self):
        self.loop = None

    def finish(self, result):
        """The result itself, awaited where it must be."""
        return self._await(result) if inspect.isawaitable(result) else result

    def stream(self, result):
        """Outputs one by one if the result is a generator, or None."""
        if inspect.isgenerator(result):
            return result
        if inspect.isasyncgen(result):
            return self._drain(result)
        return None

    def _drain(self, outputs):
        try:
            while True:
                try:
                    item = self._await(outputs.__anext__())
                except StopAsyncIteration:
                    return
                yield item
        finally:
            self._await(outputs.aclose())

    def _await(self, awaitable):
        if self.loop is None:
            self.loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self.loop)
        task = self.loop.create_task(_whole(awaitable))
        try:
            return self.loop.run_until_complete(task)
        except KeyboardInterrupt:
            # Raised in the loop, not in the task: the task must not go on when the loop runs the next time.
            if not task.done():
                task.cancel()
                try:
                    self.loop.run_until_complete(task)
                except BaseException:
                    pass  # Its end was asked for; how it ends is nobody's concern.
            raise


async def _whole(awaitable):
    return await awaitable


def first(calls, result):
    """The only output, or the first of several."""
    outputs = calls.stream(result)
    if outputs is None:
        return calls.finish(result)
    try:
        return next(outputs)
    except StopIteration as end:
        return end.value
    finally:
        outputs.close()
