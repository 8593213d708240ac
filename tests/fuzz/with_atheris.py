"""`python -m tests.fuzz.with_atheris READER SECONDS`: one reader under atheris.

Where it finds bytes that are neither taken nor refused as they should be, it stops with them.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris  # type: ignore[import-untyped]

with atheris.instrument_imports(include=["automation"]):
    from tests.fuzz.readers import READERS, refused

LONGEST = 4096
SLOWEST_SECONDS = 5
MOST_MEGABYTES = 2048


def main(name: str, seconds: int) -> None:
    """Does not return: the fuzzer ends the process."""
    reader, example = READERS[name]
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        Path(folder, "example").write_bytes(example)
        limits = [f"-max_len={LONGEST}", f"-timeout={SLOWEST_SECONDS}", f"-rss_limit_mb={MOST_MEGABYTES}"]
        atheris.Setup([sys.argv[0], folder, f"-max_total_time={seconds}", *limits], lambda body: refused(reader, body))
        atheris.Fuzz()


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in READERS:
        sys.exit(f"usage: python -m tests.fuzz.with_atheris READER SECONDS; readers: {', '.join(READERS)}")
    main(sys.argv[1], int(sys.argv[2]))
