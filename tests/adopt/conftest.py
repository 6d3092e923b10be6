"""Docker data roots, made file by file."""

import json

import pytest

from tests.dockerroot.bolt_file import whole_file


def entry(name, driver="local", labels=None, options=None):
    """The value that Docker keeps under a volume's name."""
    return json.dumps({"Name": name, "Driver": driver, "Labels": labels, "Options": options}, separators=(",", ":"))


class DockerRoot:
    """A Docker data root of a dockerd that has stopped."""

    def __init__(self, path):
        self.path, self.volumes, self._pairs = path, path / "volumes", {}
        self.volumes.mkdir(parents=True)
        self.volumes.chmod(0o701)
        (path / "containers").mkdir()
        self.write()

    def write(self):
        (self.volumes / "metadata.db").write_bytes(bytes(whole_file(self._pairs)))
        (self.volumes / "metadata.db").chmod(0o600)

    def entry(self, name, **fields):
        """An entry of metadata.db, and nothing else."""
        self._pairs[name.encode()] = entry(name, **fields).encode()
        self.write()

    def directory(self, name, opts=None):
        """A volume's directory, with Docker's modes."""
        directory = self.volumes / name
        (directory / "_data").mkdir(parents=True)
        directory.chmod(0o701)
        if opts is not None:
            (directory / "opts.json").write_text(opts)
            (directory / "opts.json").chmod(0o600)
        return directory

    def volume(self, name, opts=None, **fields):
        """Both."""
        self.entry(name, **fields)
        return self.directory(name, opts)

    def container(self, id_, *mounts, **state):
        """A container with volumes, each (name, destination) or (name, destination, driver)."""
        points = {
            destination: {
                "Destination": destination,
                "Type": "volume",
                "Name": name,
                "Driver": driver[0] if driver else "local",
                "RW": True,
            }
            for name, destination, *driver in mounts
        }
        directory = self.path / "containers" / id_
        directory.mkdir(exist_ok=True)
        config = {"ID": id_, "Name": "/web", "State": {"Running": False, **state}, "MountPoints": points}
        (directory / "config.v2.json").write_text(json.dumps(config))
        (directory / "hostconfig.json").write_text("{}")
        return directory


@pytest.fixture
def root(tmp_path):
    return DockerRoot(tmp_path / "docker")
