from .circuits import (
    make_target as make_target,
    model_of as model_of,
    open_graph as open_graph,
    report_by_name as report_by_name,
    slug as slug,
    trace_by_name as trace_by_name,
    validate_by_name as validate_by_name,
)
from .continual import continual_by_name as continual_by_name, topic_rows as topic_rows
from .continual_config import TopicRowsConfig as TopicRowsConfig
from .demo import DemoConfig as DemoConfig, DemoOutcome as DemoOutcome, demo as demo, demo_settings as demo_settings
from .dictionaries import (
    find_dictionaries as find_dictionaries,
    load_controls as load_controls,
    new_dictionaries as new_dictionaries,
    train_dictionaries as train_dictionaries,
)
from .doctor import examine as examine
from .evaluation import Judgement as Judgement, judge_by_name as judge_by_name
from .exchange import (
    export_by_name as export_by_name,
    import_by_name as import_by_name,
    push_by_name as push_by_name,
)
from .graph_exchange import export_graph as export_graph, import_graph as import_graph
from .study import (
    Bench as Bench,
    Finding as Finding,
    StudyConfig as StudyConfig,
    quick_study as quick_study,
    study as study,
)
from .subject import open_subject as open_subject, parse_layers as parse_layers
from .tiny import TinyConfig as TinyConfig, train_tiny as train_tiny
from .training import loss_recovered as loss_recovered, train_by_name as train_by_name
