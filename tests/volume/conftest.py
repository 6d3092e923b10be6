"""A catalogue in a temporary directory, and trio as the loop of the tests that are marked with anyio."""

import pytest

from volfs.volume.store import Store
from volfs.volume.volume import Volume


@pytest.fixture
def anyio_backend():
    return "trio"


@pytest.fixture
def catalogue(tmp_path):
    return tmp_path / "metadata.mdb"


@pytest.fixture
def store(catalogue):
    opened = Store(catalogue)
    yield opened
    opened.close()


@pytest.fixture
def volume():
    """Makes a record that has no serial yet."""

    def make(name, **fields):
        return Volume(name=name, serial=0, created=fields.pop("created", 1_700_000_000), **fields)

    return make
