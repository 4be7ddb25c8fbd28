from .config import TrainConfig as TrainConfig
from .errors import TrainingError as TrainingError
from .feed import Feed as Feed
from .fit import Probe as Probe, Trained as Trained, fit as fit
from .learner import Learner as Learner, Trainable as Trainable
from .loop import train as train
from .memory import check_memory as check_memory
