"""MLServer's own client, `mlserver infer`, against a server whose model `m` doubles: in JSON, and in batches in binary."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

clients = pathlib.Path(sys.prefix) / "clients" / "mlserver"
environment = {**os.environ, "PYTHONPATH": str(clients)}
rows = [[i, i + 0.5] for i in range(5)]

with tempfile.TemporaryDirectory() as folder:
    questions, answers = pathlib.Path(folder, "in.txt"), pathlib.Path(folder, "out.txt")
    lines = (
        {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": row}]} for row in rows
    )
    questions.write_text("".join(json.dumps(line) + "\n" for line in lines))
    for more in [[], ["-b", "-s", "2"]]:
        command = [sys.executable, clients / "bin" / "mlserver", "infer", "-u", sys.argv[1], "-m", "m"]
        ran = subprocess.run(
            [*command, "-i", questions, "-o", answers, *more], env=environment, capture_output=True, text=True
        )
        assert ran.returncode == 0, ran.stderr
        given = sorted(json.loads(line)["outputs"][0]["data"] for line in answers.read_text().splitlines())
        assert given == [[2 * x for x in row] for row in rows], (more, given)

print("all is well")
