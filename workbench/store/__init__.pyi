from .capturing import capture as capture
from .config import CaptureConfig as CaptureConfig
from .plan import CapturePlan as CapturePlan, plan_capture as plan_capture
from .rows import Chunk as Chunk, Rows as Rows
from .store import ActivationStore as ActivationStore, RowOrigin as RowOrigin, open_store as open_store
from .store_rows import StoreRows as StoreRows
from .stream_rows import StreamRows as StreamRows
