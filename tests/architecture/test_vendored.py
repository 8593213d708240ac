"""What others wrote and we ship: each file is the one that its manifest names, with its licence beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest

from tests.architecture.source import PACKAGE, name

MANIFESTS = sorted(PACKAGE.rglob("manifest.json"))
FREE = {"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "Zlib"}


@dataclass(frozen=True)
class Vendored:
    """One package of somebody else."""

    name: str
    version: str
    licence: str
    hashes: dict[Path, str]
    licences: tuple[Path, ...]


def vendored() -> Iterator[Vendored]:
    """All of them. A manifest lists folders with all their files (`packages`), or single files (`scripts`)."""
    for manifest in MANIFESTS:
        content = json.loads(manifest.read_text(encoding="utf-8"))
        for package in content.get("packages", ()):
            folder = manifest.parent / package["folder"]
            hashes = {folder / file: wanted["sha256"] for file, wanted in package["files"].items()}
            licences = tuple(path for path in hashes if path.name in ("LICENSE", "LICENCE", "COPYING"))
            yield Vendored(package["name"], package["version"], package["licence"], hashes, licences)
        for script in content.get("scripts", ()):
            hashes = {manifest.parent / script["file"]: script["sha256"]}
            licences = (manifest.parent / script["licence_file"],)
            yield Vendored(script["name"], script["version"], script["licence"], hashes, licences)


ALL = list(vendored())


def test_there_is_something_to_check() -> None:
    assert len(MANIFESTS) >= 2
    assert len(ALL) >= 4


@pytest.mark.parametrize("package", ALL, ids=lambda package: package.name)
def test_vendored_files_are_those_of_the_manifest(package: Vendored) -> None:
    assert package.hashes
    for path, wanted in package.hashes.items():
        assert sha256(path.read_bytes()).hexdigest() == wanted, name(path)


@pytest.mark.parametrize("package", ALL, ids=lambda package: package.name)
def test_a_vendored_package_has_a_version_and_a_free_licence(package: Vendored) -> None:
    assert package.version
    assert package.licence in FREE
    assert package.licences
    assert all(path.stat().st_size > 100 for path in package.licences)


def test_no_vendored_file_is_without_manifest() -> None:
    listed = {path for package in ALL for path in (*package.hashes, *package.licences)}
    folders = {path for path in PACKAGE.rglob("vendor") if path.is_dir()} | {path.parent for path in listed}
    found = {path for folder in folders for path in folder.rglob("*") if path.is_file()}
    assert [name(path) for path in sorted(found - listed) if path.name != "manifest.json"] == []
