from .config import EvaluateConfig as EvaluateConfig
from .evaluate import evaluate as evaluate
