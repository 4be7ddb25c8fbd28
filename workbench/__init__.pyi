from .core import (
    CircuitGraph as CircuitGraph,
    Codes as Codes,
    CodeTweak as CodeTweak,
    Edit as Edit,
    Manifest as Manifest,
    MaskPolicy as MaskPolicy,
    Node as Node,
    Result as Result,
    Site as Site,
    Unit as Unit,
)
