from .blocks import Block as Block, Counts as Counts, GroupEdge as GroupEdge, NoteBlock as NoteBlock
from .build import Study as Study, circuit_report as circuit_report
from .compare import compare_reports as compare_reports
from .compose import (
    compose as compose,
    note_of_environment as note_of_environment,
    note_of_graph as note_of_graph,
    note_of_result as note_of_result,
)
from .config import (
    AgreeConfig as AgreeConfig,
    Group as Group,
    Licence as Licence,
    ReportConfig as ReportConfig,
    WordsConfig as WordsConfig,
)
from .html import report_html as report_html
from .interactive import report_interactive as report_interactive
from .json import read_report as read_report, report_json as report_json
from .markdown import report_markdown as report_markdown
from .pdf import report_pdf as report_pdf
from .report import (
    SCHEMA as SCHEMA,
    Asset as Asset,
    Report as Report,
    check_svg as check_svg,
    report_schema as report_schema,
)
from .write import FORMATS as FORMATS, write_report as write_report
