"""The demo's prompts."""

from collections.abc import Sequence

from workbench.core import PromptPair, register_task

from .pack import TextTokenizer

_PROMPTS = (
    PromptPair("When Mary and John went to the store, John gave a drink to", " Mary", " John", "names of two genders"),
    PromptPair("When Tom and James went to the park, James gave a ball to", " Tom", " James", "names of one gender"),
    PromptPair("After Sarah and Peter had lunch, Peter handed the bill to", " Sarah", " Peter", "another template"),
    PromptPair("The war lasted from the year 1745 to the year 17", "6", "2", "an end that lies after the start"),
    PromptPair("The Eiffel Tower is in the city of", " Paris", " London", "a fact"),
)


@register_task("demo", "the demo's five prompts of different kinds")
def demo(tokenizer: TextTokenizer, count: int, seed: int) -> Sequence[PromptPair]:
    """The demo's five prompts; the first is the main one."""
    return _PROMPTS[:count]
