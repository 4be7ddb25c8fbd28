from .config import TrainConfig as TrainConfig
from .errors import TrainingError as TrainingError
from .feed import Feed as Feed
from .fit import Probe as Probe, Trained as Trained, fit as fit
from .fit_language import (
    LanguageProbe as LanguageProbe,
    LearnsTokens as LearnsTokens,
    TrainedLanguage as TrainedLanguage,
    fit_language as fit_language,
    fit_tokens as fit_tokens,
)
from .language import (
    LanguageLearner as LanguageLearner,
    LanguageModule as LanguageModule,
    next_token_losses as next_token_losses,
)
from .language_config import LanguageConfig as LanguageConfig
from .language_rows import LENGTHS as LENGTHS, TOKENS as TOKENS, StreamRows as StreamRows, TokenRows as TokenRows
from .learner import Learner as Learner, Trainable as Trainable
from .loop import train as train
from .memory import check_memory as check_memory
from .module import TrainedModule as TrainedModule, fit_module as fit_module
from .module_config import ModuleConfig as ModuleConfig
from .runs import (
    AXES as AXES,
    RunLog as RunLog,
    find_runs as find_runs,
    run_curves as run_curves,
    run_frontier as run_frontier,
    settings_table as settings_table,
)
