from .config import ScanConfig as ScanConfig
from .effects import unit_effects as unit_effects
from .scan import FeatureScan as FeatureScan, open_scan as open_scan, scan as scan
