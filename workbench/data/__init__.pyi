from .corpus import Corpus as Corpus
from .pack import PackedText as PackedText, TextTokenizer as TextTokenizer, pack as pack
from .pack_config import PackConfig as PackConfig
from .planted_config import BENCH_A as BENCH_A, BENCH_B as BENCH_B, PlantedConfig as PlantedConfig
from .planted_features import PlantedFeatures as PlantedFeatures, PlantedSample as PlantedSample
from .tasks import (
    PromptPair as PromptPair,
    Task as Task,
    answer_ids as answer_ids,
    check_task as check_task,
    make_task as make_task,
)
from .text import KnownText as KnownText, known_texts as known_texts, open_text as open_text
