"""Graphs in other tools' files: which format, and the two doors."""

from pathlib import Path

from workbench.core import ArtifactError, ConfigError, nearest

from .graph_extension import GraphFile
from .graph_json import write_graph_json
from .graph_json_read import read_graph_json
from .graph_xml import read_graph_xml, write_graph_xml

WRITERS = {"circuit-tracer": write_graph_json, "neuronpedia": write_graph_json, "graphml": write_graph_xml}
READERS = {"circuit-tracer": read_graph_json, "neuronpedia": read_graph_json, "graphml": read_graph_xml}


def graph_formats() -> list[str]:
    """Formats that graphs are read from and written to; circuit-tracer's and Neuronpedia's are one."""
    return sorted(WRITERS)


def write_graph(file: GraphFile, path: Path, format: str = "circuit-tracer", scan: str = "") -> Path:
    """Write a graph to a file, or into a folder under its slug; returns the file.

    Raises:
        ConfigError: no such format. ArtifactError: see `write_graph_json` and `write_graph_xml`.
    """
    if format not in WRITERS:
        raise ConfigError(f"unknown graph format {format!r}", hint=nearest(format, WRITERS))
    return WRITERS[format](file, Path(path), scan)


def read_graph(path: Path, format: str | None = None) -> GraphFile:
    """Read a graph file; the format follows from the file's name or its first bytes.

    Raises:
        ConfigError: no such format. ArtifactError: a file that cannot be read, in one line.
    """
    path = Path(path)
    if format is not None and format not in READERS:
        raise ConfigError(f"unknown graph format {format!r}", hint=nearest(format, READERS))
    if path.is_dir():
        raise ArtifactError(f"{path} is a folder", hint="name one graph file in it")
    return READERS[format or _guess(path)](path)


def _guess(path: Path) -> str:
    if path.suffix == ".graphml":
        return "graphml"
    try:
        with open(path, "rb") as file:
            start = file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n")
    except OSError as error:
        raise ArtifactError(f"cannot read {path}", found=error.strerror) from None
    return "graphml" if start.startswith(b"<") else "circuit-tracer"
