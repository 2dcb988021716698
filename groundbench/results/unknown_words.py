"""Words that a model's tokenizer does not know: the entry `unknown_words` of a result's protocol (§4)."""

from __future__ import annotations

from pydantic import Field, JsonValue, ValidationError

from groundbench.results.base import Record

KEY = "unknown_words"


class UnknownWords(Record):
    """Counts of the words of a form's matched prompts that the tokenizer maps to its unknown word.

    Attributes:
        prompts, of_prompts: matched prompts that hold such a word, of all of the form.
        words, of_words: such words, of all words (tokens of the text; images aside) of these prompts.
    """

    prompts: int = Field(ge=0)
    of_prompts: int = Field(ge=0)
    words: int = Field(ge=0)
    of_words: int = Field(ge=0)

    def describe(self) -> str:
        """Describe the counts as half a sentence."""
        return (
            f"unknown to the tokenizer: {self.words:,} of {self.of_words:,} words, "
            f"in {self.prompts:,} of {self.of_prompts:,} prompts"
        )


def unknown_words(protocol: dict[str, JsonValue]) -> dict[str, UnknownWords]:
    """Return the counts of each form; nothing of results in which they were not measured.

    They are not measured where a tokenizer has no unknown word, as those that go down to bytes.
    """
    forms = protocol.get(KEY)
    if not isinstance(forms, dict):
        return {}
    try:
        return {name: UnknownWords.model_validate(counts) for name, counts in forms.items()}
    except ValidationError:  # another harness's: the protocol is free of form
        return {}
