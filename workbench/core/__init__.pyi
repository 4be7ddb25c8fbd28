from .artifact import (
    Artifact as Artifact,
    content_hash as content_hash,
    file_sha256 as file_sha256,
    read_artifact as read_artifact,
    write_artifact as write_artifact,
    write_bytes as write_bytes,
    write_json as write_json,
)
from .codes import Codes as Codes
from .config import Config as Config
from .edit import Codec as Codec, Edit as Edit, RowContext as RowContext
from .errors import (
    ArtifactError as ArtifactError,
    ConfigError as ConfigError,
    FetchError as FetchError,
    Interrupted as Interrupted,
    ModelError as ModelError,
    ShapeError as ShapeError,
    SiteError as SiteError,
    StoreError as StoreError,
    TextError as TextError,
    WorkbenchError as WorkbenchError,
    nearest as nearest,
)
from .graph import CircuitGraph as CircuitGraph, Node as Node
from .interrupt import Interruptible as Interruptible
from .manifest import (
    SCHEMA as SCHEMA,
    Manifest as Manifest,
    ModelRef as ModelRef,
    TextRef as TextRef,
    versions as versions,
)
from .mask import position_mask as position_mask
from .policy import MaskPolicy as MaskPolicy
from .progress import Progress as Progress, Silent as Silent
from .registry import get as get, names as names, provide as provide, register as register
from .result import Result as Result, as_json as as_json
from .seeds import child as child, generator as generator
from .site import Site as Site
from .task import (
    METRICS as METRICS,
    KnownTask as KnownTask,
    PromptPair as PromptPair,
    TaskMaker as TaskMaker,
    register_task as register_task,
)
from .tweak import CodeTweak as CodeTweak, SlotTweak as SlotTweak, Tweak as Tweak
from .unit import Unit as Unit
