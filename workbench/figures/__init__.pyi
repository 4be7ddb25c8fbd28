from .card_page import card_page as card_page
from .comparison_figure import graph_comparison as graph_comparison, graph_merge as graph_merge
from .evaluation_picture import fvu_by_layer_svg as fvu_by_layer_svg
from .graph_figure import graph_figure as graph_figure
from .graph_picture import draw as draw, graph_svg as graph_svg
from .interactive import plot_html as plot_html, plotly_script as plotly_script, theme_colours as theme_colours
from .layout import Drawing as Drawing, lay_out as lay_out, node_label as node_label, ranked as ranked
from .measurements import (
    SET_NAMES as SET_NAMES,
    GroupPoint as GroupPoint,
    baseline as baseline,
    correlation as correlation,
    group_points as group_points,
    layer_rows as layer_rows,
    mean_and_spread as mean_and_spread,
    singles as singles,
)
from .notebook import graph_html as graph_html, result_html as result_html, table_html as table_html
from .palette import PALETTES as PALETTES, recoloured as recoloured
from .picture import picture as picture
from .plot_picture import plot_svg as plot_svg
from .prompt_figure import attention as attention, logit_lens as logit_lens, next_tokens as next_tokens
from .template import CONFIG as CONFIG, figure as figure, use as use
from .theme import FONT as FONT, MONO as MONO, level as level, variables as variables
from .tokens import strip_style as strip_style, token_html as token_html, token_strip as token_strip
from .validation_figure import (
    evaluation as evaluation,
    group_curve as group_curve,
    single_ablations as single_ablations,
    sum_check as sum_check,
)
from .validation_picture import group_curve_svg as group_curve_svg, single_scatter_svg as single_scatter_svg
from .wording import (
    clip as clip,
    legible as legible,
    plain as plain,
    plain_token as plain_token,
    show as show,
    signed as signed,
    visible as visible,
)
