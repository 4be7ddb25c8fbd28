from .automaton import train_automaton as train_automaton
from .automaton_artifact import open_run as open_run, save_run as save_run
from .automaton_runs import AutomatonRun as AutomatonRun, automaton_runs as automaton_runs
from .bigram_config import BodyConfig as BodyConfig
from .bigrams import (
    FOLDER as FOLDER,
    evaluate_bigram as evaluate_bigram,
    features_of_bigram as features_of_bigram,
    import_bigram as import_bigram,
    judge_subnetwork as judge_subnetwork,
    mask_shelf as mask_shelf,
    open_subnetwork as open_subnetwork,
    train_bigram as train_bigram,
    train_subnetwork as train_subnetwork,
)
from .circuits import (
    Loader as Loader,
    intervene_by_name as intervene_by_name,
    make_target as make_target,
    model_of as model_of,
    open_graph as open_graph,
    report_by_name as report_by_name,
    slug as slug,
    trace_by_name as trace_by_name,
    validate_by_name as validate_by_name,
)
from .code_search import search_by_name as search_by_name, steer_by_name as steer_by_name
from .code_steering import steer_codes as steer_codes
from .code_steering_config import TOPICS as TOPICS, SteeringConfig as SteeringConfig
from .codebook_artifact import load_codebooks as load_codebooks, save_codebooks as save_codebooks
from .codebooks import (
    fine_tune as fine_tune,
    new_codebooks as new_codebooks,
    start_codes as start_codes,
    train_codebooks as train_codebooks,
)
from .codebooks_config import CodebooksConfig as CodebooksConfig
from .component_settings import DEFAULT_SCORERS as DEFAULT_SCORERS, SCORERS as SCORERS, DiscoverConfig as DiscoverConfig
from .components import discover_by_name as discover_by_name, patch_by_name as patch_by_name
from .continual import continual_by_name as continual_by_name, topic_rows as topic_rows
from .continual_config import TopicRowsConfig as TopicRowsConfig
from .convergence import converge_by_name as converge_by_name
from .core_neurons import MEASURES as MEASURES, core_by_name as core_by_name, measure_core as measure_core
from .demo import DemoConfig as DemoConfig, DemoOutcome as DemoOutcome, demo as demo, demo_settings as demo_settings
from .diagnostics import diagnostics as diagnostics
from .dictionaries import (
    find_dictionaries as find_dictionaries,
    load_controls as load_controls,
    new_dictionaries as new_dictionaries,
    train_dictionaries as train_dictionaries,
)
from .doctor import examine as examine
from .edge_heads import heads_by_name as heads_by_name
from .evaluation import Judgement as Judgement, judge_by_name as judge_by_name
from .exchange import (
    export_by_name as export_by_name,
    import_by_name as import_by_name,
    push_by_name as push_by_name,
)
from .features import (
    NEURONS as NEURONS,
    SCANNED_NEURONS as SCANNED_NEURONS,
    bench_of as bench_of,
    card_by_name as card_by_name,
    labels_of as labels_of,
    open_bench as open_bench,
    scan_by_name as scan_by_name,
    scan_name as scan_name,
    scan_of as scan_of,
    search_units_by_name as search_units_by_name,
    steer_units_by_name as steer_units_by_name,
)
from .geometry import geometry_by_name as geometry_by_name, spread_rows as spread_rows
from .graph_exchange import export_graph as export_graph, import_graph as import_graph
from .graphs import compare_by_name as compare_by_name, group_by_name as group_by_name, saved_groups as saved_groups
from .label import keep_labels as keep_labels, label_by_name as label_by_name
from .lens import lens_by_name as lens_by_name
from .needed_neurons import (
    circuit_neurons_by_name as circuit_neurons_by_name,
    feature_neurons_by_name as feature_neurons_by_name,
)
from .patch_prompts import (
    check_twins as check_twins,
    patch_prompts as patch_prompts,
    patch_prompts_by_name as patch_prompts_by_name,
    patching_name as patching_name,
    save_patching as save_patching,
)
from .patch_prompts_config import PatchPromptsConfig as PatchPromptsConfig
from .paths import paths_by_name as paths_by_name, weights_by_name as weights_by_name
from .probe import Probed as Probed, probe_by_name as probe_by_name
from .probe_config import ProbeSteeringConfig as ProbeSteeringConfig, TextRowsConfig as TextRowsConfig
from .probe_steering import steer_by_probe as steer_by_probe
from .reproduce import (
    Reproduction as Reproduction,
    list_reproductions as list_reproductions,
    reproduce as reproduce,
    reproduce_all as reproduce_all,
)
from .reproduce_config import ReproduceConfig as ReproduceConfig
from .reproduce_summary import Compared as Compared, summary as summary
from .rerun import Rerun as Rerun, rerun_report as rerun_report
from .score_ranking import (
    broken_set as broken_set,
    rank_by_name as rank_by_name,
    rank_scores as rank_scores,
    spoiled_sets as spoiled_sets,
)
from .score_ranking_config import ScoreRankingConfig as ScoreRankingConfig
from .sparse_generation import generate_by_name as generate_by_name, generate_sparsely as generate_sparsely
from .sparsity import dial_by_name as dial_by_name, profile_by_name as profile_by_name
from .steered import Steered as Steered, open_steered as open_steered
from .study import (
    Bench as Bench,
    Finding as Finding,
    StudyConfig as StudyConfig,
    next_tokens as next_tokens,
    quick_study as quick_study,
    study as study,
)
from .subject import open_subject as open_subject, parse_layers as parse_layers
from .tasks import check_tasks as check_tasks, known_tasks as known_tasks
from .text_rows import TextRows as TextRows, parse_sites as parse_sites, text_rows as text_rows
from .tiny import TinyConfig as TinyConfig, train_tiny as train_tiny
from .tiny_text import TinyTextConfig as TinyTextConfig, train_tiny_text as train_tiny_text
from .top_units import top_units_by_name as top_units_by_name
from .training import loss_recovered as loss_recovered, train_by_name as train_by_name
