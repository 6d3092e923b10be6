"""The containers of a Docker data root, from ROOT/containers/ID/{config.v2.json,hostconfig.json}. Reads only."""

from pathlib import Path

from volfs.container.config import Container, parse
from volfs.dockerroot.source import read_text
from volfs.errors import Invalid, NotFound, VolfsError
from volfs.findings import Finding, Findings


def read_containers(root: Path) -> tuple[list[Container], tuple[Finding, ...]]:
    """All containers in the order of their ids; one that cannot be read is a finding and costs no other."""
    findings = Findings()
    result = []
    try:
        names = sorted(path.name for path in (root / "containers").iterdir())
    except FileNotFoundError:
        return [], ()
    except OSError as error:
        findings.note("container-unreadable", f"{root / 'containers'} cannot be listed: {error.strerror}")
        return [], findings.all()
    for name in names:
        try:
            container = _read(root / "containers" / name)
        except NotFound:  # it is being made or removed
            continue
        except VolfsError as error:
            findings.note("container-unreadable", f"container {name} cannot be read, nor what it needs: {error}", name)
            continue
        result.append(container)
        for one in container.findings:
            findings.note(one.code, one.text, one.subject)
    return result, findings.all()


def _read(directory: Path) -> Container:
    """Docker takes no container from a directory of another name."""
    container = parse(read_text(directory / "config.v2.json"), _hostconfig(directory))
    if container.id != directory.name:
        raise Invalid(f"its config.v2.json is that of container {container.id}")
    return container


def _hostconfig(directory: Path) -> bytes | None:
    try:
        return read_text(directory / "hostconfig.json")
    except NotFound:
        return None
