"""The class of tasks of evidence: every answer asked after three prompts (protocol §16)."""

from __future__ import annotations

from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.task import ConfigurableTask

from groundbench.api.errors import BadInputError

PROMPTS = ("prompt", "without", "other")
"""A document's prompts, in the order of its requests; one that is empty is not asked."""


class EvidenceTask(ConfigurableTask):
    """A task whose requests are all answers of a document after its own prompt, without evidence and with other one.

    A chat template or a system instruction around the own prompt is put around the other two as well.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config={k: v for k, v in config.items() if k != "class"})

    def construct_requests(self, doc: dict[str, Any], ctx: str, **more: Any) -> list[Instance]:
        """Return one request for each prompt and answer, prompt by prompt.

        Raises:
            BadInputError: the document's prompt stands not exactly once in what lm-eval made of it.
        """
        templated = bool(more.get("apply_chat_template"))
        contexts = _contexts(doc, ctx)
        answers = [c.lstrip() if templated else c for c in doc["choices"]]
        pairs = [(context, answer) for context in contexts for answer in answers]
        return [
            Instance(request_type="loglikelihood", doc=doc, arguments=pair, idx=i, metadata=more["metadata"])
            for i, pair in enumerate(pairs)
        ]


def _contexts(doc: dict[str, Any], ctx: str) -> list[str]:
    """Return the context that lm-eval built and, where compared, the same with the document's other prompts in it.

    Chat templates may strip a prompt's blanks: then those of the other prompts are stripped too.
    """
    times = 0
    for kept in (str, str.strip):
        own = kept(doc["prompt"])
        times = ctx.count(own)
        if times == 1:
            return [ctx] + [ctx.replace(own, kept(doc[name])) for name in PROMPTS[1:] if doc[name]]
    raise BadInputError(
        f"{doc['where']}: the prompt stands {times} times in the context that lm-eval built, expected once"
    )
