"""Every renderer of this room, registered by importing the files that hold them."""

from . import graph_figure, notebook, prompt_figure, template, validation_figure

__all__ = ["graph_figure", "notebook", "prompt_figure", "template", "validation_figure"]
