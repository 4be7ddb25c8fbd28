from .assign import assign as assign, hugging_face_state as hugging_face_state
from .automaton import (
    SCALED_SIZES as SCALED_SIZES,
    AutomatonModelConfig as AutomatonModelConfig,
    automaton_model as automaton_model,
    digit_tokenizer as digit_tokenizer,
    new_automaton_model as new_automaton_model,
    save_automaton_model as save_automaton_model,
)
from .crate import (
    CrateBlock as CrateBlock,
    Halves as Halves,
    PatchClassifier as PatchClassifier,
    new_classifier as new_classifier,
)
from .crate_config import CrateConfig as CrateConfig
from .frozen import FrozenModel as FrozenModel, freeze as freeze
from .frozen_attention import FrozenAttention as FrozenAttention
from .frozen_norm import FrozenNorm as FrozenNorm
from .generate import Generation as Generation
from .hooked import HookedModel as HookedModel
from .load import load_model as load_model, load_plain as load_plain
from .packed import ModelMemory as ModelMemory
from .places import BEINGS as BEINGS, PLACES as PLACES, QUESTIONS as QUESTIONS, answer as answer
from .plain import PlainModel as PlainModel
from .plain_decoder import PlainDecoder as PlainDecoder, Sampler as Sampler
from .plain_mlp import PlainMlp as PlainMlp
from .planted import PlantedModel as PlantedModel, PlantedNode as PlantedNode, build_places as build_places
from .planted_bigram import PlantedBigram as PlantedBigram, build_planted_bigram as build_planted_bigram
from .planted_circuits import (
    PlantedCircuit as PlantedCircuit,
    build_circuit as build_circuit,
)
from .planted_programs import PROGRAMS as PROGRAMS, planted_prompts as planted_prompts
from .products import Product as Product
from .program import ProgramTransformer as ProgramTransformer
from .program_config import ProgramConfig as ProgramConfig
from .program_source import (
    discretise as discretise,
    load_source as load_source,
    program_source as program_source,
)
from .regression import RegressionTransformer as RegressionTransformer
from .relu import (
    ReluModelConfig as ReluModelConfig,
    character_tokenizer as character_tokenizer,
    new_relu_model as new_relu_model,
    save_relu_model as save_relu_model,
)
from .run import Run as Run
from .sampling import Sampling as Sampling
from .shape import ModelShape as ModelShape
from .tiny import new_tiny as new_tiny, save_tiny as save_tiny
from .tiny_text import (
    TinyTextSizes as TinyTextSizes,
    new_tiny_text as new_tiny_text,
    tiny_text_manifest as tiny_text_manifest,
    train_byte_pairs as train_byte_pairs,
)
from .tokenize import Tokenizer as Tokenizer, WordTokenizer as WordTokenizer, load_tokenizer as load_tokenizer
from .tokens import TokenBatch as TokenBatch
from .weights import hash_tensors as hash_tensors
from .wrap import wrap as wrap
from .zoo import (
    Built as Built,
    KnownModel as KnownModel,
    known_models as known_models,
    register_builtin as register_builtin,
)
