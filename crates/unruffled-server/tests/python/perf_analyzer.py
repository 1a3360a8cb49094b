"""Triton's perf_analyzer, in every way in which it can ask."""

import os
import pathlib
import subprocess
import sys

clients = pathlib.Path(sys.prefix) / "clients" / "perf_analyzer"
environment = {**os.environ, "LD_LIBRARY_PATH": str(clients / "nvidia" / "cuda_runtime" / "lib")}
measure = ["-p", "150", "-r", "3", "-s", "999", "--concurrency-range", "2"]

for ways in [
    [],
    ["--input-tensor-format", "json", "--output-tensor-format", "json"],
    ["--async"],
    ["-b", "4"],
    ["--shared-memory", "system"],
    ["-i", "grpc"],
    ["-i", "grpc", "--async", "--streaming"],
    ["-i", "grpc", "--grpc-compression-algorithm", "gzip"],
    ["-i", "grpc", "--shared-memory", "system"],
]:
    command = [clients / "bin" / "perf_analyzer", "-m", "m", "-u", sys.argv[1], *measure, *ways]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0 and "throughput: " in ran.stdout, (ways, ran.returncode, ran.stdout, ran.stderr)

print("all is well")
