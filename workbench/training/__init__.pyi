from .config import TrainConfig as TrainConfig
from .errors import TrainingError as TrainingError
from .feed import Feed as Feed
from .fit import Trained as Trained, fit as fit
from .learner import Learner as Learner, Trainable as Trainable
from .loop import train as train
