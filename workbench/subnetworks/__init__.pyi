from .config import MaskConfig as MaskConfig, TargetConfig as TargetConfig, TargetName as TargetName
from .controls import embeddings_only as embeddings_only, random_weights as random_weights
from .hugging_face import from_hugging_face as from_hugging_face, to_hugging_face as to_hugging_face
from .learner import MaskLearner as MaskLearner, spiked as spiked
from .masks import Decided as Decided, Masks as Masks
from .planted import PlantedSearch as PlantedSearch, TableTarget as TableTarget, search_planted as search_planted
from .soft_cross_entropy import entropy as entropy, soft_cross_entropy as soft_cross_entropy
from .subnetwork import (
    Subnetwork as Subnetwork,
    expected_overlap as expected_overlap,
    overlap as overlap,
)
from .targets import (
    BigramTarget as BigramTarget,
    CorpusBigrams as CorpusBigrams,
    FullAnswer as FullAnswer,
    OwnBigrams as OwnBigrams,
    Target as Target,
    Wanted as Wanted,
    trained_positions as trained_positions,
)
from .train_masks import TrainedMasks as TrainedMasks, train_masks as train_masks
