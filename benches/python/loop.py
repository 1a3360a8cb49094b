"""Runs models with onnxruntime as Python programs do, a round at a time, so that rounds of others can go in between.

Each line on standard input is a round to run, in JSON: `model` (a file), `inputs` (NumPy files by name), `rows` (how many the
inputs hold), `way` ("loop" or "asyncio"), `callers` and `seconds`. Each is answered by a line with the rows per second and the
median seconds of a call. "loop" calls `session.run` with all rows again and again; "asyncio" has callers that each await one row
after another in an executor of one thread.
"""

import asyncio
import concurrent.futures
import functools
import json
import statistics
import sys
import time

import numpy as np
import onnxruntime


@functools.cache
def session(model):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # The export of LightGBM warns about every batch.
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def result(rows, begin, times):
    return {"rows_per_second": rows * len(times) / (time.perf_counter() - begin), "p50": statistics.median(times)}


def loop(run, feeds, rows, seconds):
    times, begin = [], time.perf_counter()
    while not times or time.perf_counter() - begin < seconds:
        called = time.perf_counter()
        run(None, feeds)
        times.append(time.perf_counter() - called)
    return result(rows, begin, times)


async def awaited(run, feeds, rows, callers, seconds):
    loop, times = asyncio.get_running_loop(), []
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        begin = time.perf_counter()

        async def call(feed):
            while time.perf_counter() - begin < seconds:
                called = time.perf_counter()
                await loop.run_in_executor(pool, run, None, feed)
                times.append(time.perf_counter() - called)

        def row(i):
            return feeds if rows == 1 else {name: value[i % rows : i % rows + 1] for name, value in feeds.items()}

        await asyncio.gather(*(call(row(i)) for i in range(callers)))
        return result(1, begin, times)


def main():
    for line in sys.stdin:
        task = json.loads(line)
        run, rows, seconds = session(task["model"]).run, task["rows"], task["seconds"]
        feeds = {name: np.load(path) for name, path in task["inputs"].items()}
        if task["way"] == "loop":
            answer = loop(run, feeds, rows, seconds)
        else:
            answer = asyncio.run(awaited(run, feeds, rows, task["callers"], seconds))
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
