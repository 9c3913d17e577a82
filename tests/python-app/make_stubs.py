"""Makes the Python stubs of the published .proto files: make_stubs.py FOLDER."""

import sys
from pathlib import Path

import grpc_tools
from grpc_tools import protoc

PROTO = Path(__file__).resolve().parents[2] / "proto"


def main(folder: Path) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    well_known = Path(grpc_tools.__file__).parent / "_proto"
    files = sorted(str(file) for file in (PROTO / "keyward" / "v1").glob("*.proto"))
    return protoc.main(
        ["protoc", f"-I{PROTO}", f"-I{well_known}", f"--python_out={folder}", f"--grpc_python_out={folder}", *files]
    )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: make_stubs.py FOLDER")
    sys.exit(main(Path(sys.argv[1])))
