"""A Docker data root as dockerd writes it, made by hand."""

import json
import os

from tests.dockerroot.bolt_file import whole_file
from volfs.driver.options import to_text


class DockerFiles:
    """Volumes, a metadata.db and containers under `root`."""

    def __init__(self, root):
        self.root, self.entries, self._transaction = root, {}, 3

    def begin(self):
        (self.root / "volumes").mkdir(parents=True)
        (self.root / "containers").mkdir()
        self.write_store()
        return self

    def directory(self, name, options=None):
        """What dockerd does first."""
        (self.root / "volumes" / name / "_data").mkdir(parents=True)
        if options:
            (self.root / "volumes" / name / "opts.json").write_bytes(to_text(options))

    def entry(self, name, labels=None, options=None, driver="local"):
        """And then."""
        self.entries[name] = {"Name": name, "Driver": driver, "Labels": labels, "Options": options}
        self.write_store()

    def create(self, name, labels=None, options=None):
        self.directory(name, options)
        self.entry(name, labels, options)

    def remove(self, name):
        for one in ("opts.json", "_data"):
            path = self.root / "volumes" / name / one
            if path.exists():
                path.rmdir() if path.is_dir() else path.unlink()
        (self.root / "volumes" / name).rmdir()
        self.forget(name)

    def forget(self, name):
        del self.entries[name]
        self.write_store()

    def write_store(self):
        """In place, as bolt does, with a transaction more."""
        pairs = {name.encode(): json.dumps(entry).encode() for name, entry in self.entries.items()}
        file = whole_file(pairs)
        self._transaction += 2
        root = file.buckets(volumes=file.tree(pairs))
        for transaction in (self._transaction, self._transaction + 1):
            file.meta(root, transaction)
        with open(self.root / "volumes" / "metadata.db", "ab"):
            pass
        with open(self.root / "volumes" / "metadata.db", "rb+") as db:
            db.write(bytes(file))

    def container(self, id_, *volumes, running=True, name="web"):
        """Puts a config.v2.json in its place."""
        directory = self.root / "containers" / id_
        directory.mkdir(exist_ok=True)
        points = {f"/{one}": {"Name": one, "Driver": "local", "Type": "volume", "RW": True} for one in volumes}
        state = {"Running": running, "StartedAt": "2026-11-24T05:07:06.123456789Z"}
        config = {"ID": id_, "Name": f"/{name}", "Created": "2026-11-24T05:07:05.5Z", "State": state}
        (directory / ".tmp").write_text(json.dumps({**config, "MountPoints": points}))
        os.replace(directory / ".tmp", directory / "config.v2.json")
