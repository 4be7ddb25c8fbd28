from .heads import head_scores as head_scores
from .lens import Readout as Readout, logit_lens as logit_lens, readout as readout
