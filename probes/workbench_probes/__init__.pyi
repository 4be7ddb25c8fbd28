from .heads import head_scores as head_scores
from .lens import Readout as Readout, logit_lens as logit_lens, readout as readout
from .prompt import prompt_heads as prompt_heads, prompt_lens as prompt_lens
from .progress import NotebookProgress as NotebookProgress
