from .automaton import Automaton as Automaton, Floor as Floor
from .automaton_config import (
    PAPER_AUTOMATON as PAPER_AUTOMATON,
    SCALED_AUTOMATON as SCALED_AUTOMATON,
    AutomatonConfig as AutomatonConfig,
)
from .corpus import Corpus as Corpus
from .labelled import ARTICLE_TOPICS as ARTICLE_TOPICS, LabelledRows as LabelledRows, digits as digits
from .labelled_text import (
    LabelledTexts as LabelledTexts,
    labelled_texts as labelled_texts,
    open_labelled as open_labelled,
)
from .pack import PackedText as PackedText, TextTokenizer as TextTokenizer, pack as pack
from .pack_config import PackConfig as PackConfig
from .planted_config import BENCH_A as BENCH_A, BENCH_B as BENCH_B, PlantedConfig as PlantedConfig
from .planted_features import PlantedFeatures as PlantedFeatures, PlantedSample as PlantedSample
from .program_tasks import (
    PAD as PAD,
    Sequences as Sequences,
    draw_sequences as draw_sequences,
    token_names as token_names,
)
from .regression import Contexts as Contexts, draw_contexts as draw_contexts, represent as represent
from .regression_config import RegressionConfig as RegressionConfig
from .task import (
    PromptPair as PromptPair,
    Task as Task,
    all_answer_ids as all_answer_ids,
    answer_ids as answer_ids,
    answer_scores as answer_scores,
    make_task as make_task,
)
from .task_check import check_task as check_task
from .text import KnownText as KnownText, known_texts as known_texts, open_text as open_text
