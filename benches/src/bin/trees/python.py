"""Python's onnxruntime in a loop: reads lines of model, rows, batch and seconds, and answers with seconds per call."""

import sys
import time

import numpy
import onnxruntime

sessions = {}
for line in sys.stdin:
    model, rows, batch, seconds = line.rstrip("\n").split("\t")
    if model not in sessions:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        sessions[model] = session, numpy.load(rows)
    session, x = sessions[model]
    batch, calls, at, begin = int(batch), 0, 0, time.perf_counter()
    end = begin + float(seconds)
    name = session.get_inputs()[0].name
    now = begin
    while now < end:
        session.run(None, {name: x[at : at + batch]})
        calls += 1
        at = at + batch if at + 2 * batch <= len(x) else 0
        now = time.perf_counter()
    print((now - begin) / calls, flush=True)
