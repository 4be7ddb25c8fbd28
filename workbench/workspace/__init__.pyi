from .cached import build_once as build_once
from .database import AutomaticLabel as AutomaticLabel, Database as Database, Label as Label, View as View
from .fetch import WheelFile as WheelFile, fetch_wheel_file as fetch_wheel_file, is_offline as is_offline
from .jobs import Job as Job, JobManager as JobManager
from .places import (
    cache_folder as cache_folder,
    clear_cache as clear_cache,
    folder_bytes as folder_bytes,
    shipped_folder as shipped_folder,
    workspace_folder as workspace_folder,
)
from .telemetry import switch_off_telemetry as switch_off_telemetry
from .workspace import Entry as Entry, Workspace as Workspace
