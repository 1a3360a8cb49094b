"""Schemathesis asks all that the OpenAPI document tells of: no crash, and no answer that it does not tell of."""

import os
import pathlib
import subprocess
import sys

folder = pathlib.Path(__file__).parent
command = [
    pathlib.Path(sys.executable).parent / "schemathesis",
    f"--config-file={folder / 'schemathesis.toml'}",
    "run",
    f"http://{sys.argv[1].replace('127.0.0.1', 'localhost')}/openapi.json",
]
environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
if subprocess.run(command, env=environment, cwd="/").returncode:
    sys.exit(1)
print("all is well")
