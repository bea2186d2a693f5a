"""Generate the code for the contracts in protos/, or check that what is committed is just that."""

import argparse
import filecmp
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROTOS = ROOT / "protos"
COMMITTED = PROTOS / "gen"


def generate(into: Path) -> None:
    """Run protoc with its Python plugins; the versions come from the development lock."""
    spec = find_spec("grpc_tools")
    if spec is None or spec.origin is None:
        sys.exit("grpcio-tools is not installed; run `make test` once, it installs the development lock")
    well_known = Path(spec.origin).parent / "_proto"
    outputs = [f"--{plugin}_out={into}" for plugin in ("python", "grpc_python", "mypy", "mypy_grpc")]
    sources = sorted(str(path.relative_to(PROTOS)) for path in (PROTOS / "porchlight").rglob("*.proto"))
    # protoc finds the mypy plugins on PATH, beside this very Python.
    env = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTOS}", f"-I{well_known}", *outputs, *sources]
    subprocess.run(command, check=True, env=env)


def differences(left: Path, right: Path) -> list[str]:
    """List generated files that are in one folder only, or differ, by their relative names."""

    def files(root: Path) -> set[Path]:
        return {path.relative_to(root) for path in root.rglob("*.py*") if path.suffix in (".py", ".pyi")}

    both = files(left) & files(right)
    changed = {name for name in both if not filecmp.cmp(left / name, right / name, shallow=False)}
    return sorted(str(name) for name in (files(left) ^ files(right)) | changed)


def main(arguments: Sequence[str] | None = None) -> int:
    """Generate, or with --check only compare; 1 when they differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    if not parser.parse_args(arguments).check:
        generate(COMMITTED)
        return 0
    with tempfile.TemporaryDirectory() as fresh:
        generate(Path(fresh))
        stale = differences(Path(fresh), COMMITTED)
    for name in stale:
        sys.stderr.write(f"protos/gen/{name} is not what protoc makes of protos/; run `make protos`\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
