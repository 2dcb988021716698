"""The tasks that need `--model groundbench`: behaviour with head counts and ablation deltas, item by item."""

from __future__ import annotations

from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.task import ConfigurableTask

from groundbench.api.errors import BadInputError

REQUEST = "grounding_probe"
"""The name of the request, hence of the method that a model must have."""


class FullTask(ConfigurableTask):
    """A task of lm-eval whose documents are items and whose requests are answered by `GroundbenchLM.grounding_probe`.

    Everything else, metrics and documents, is configured in the task's file.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__(config={k: v for k, v in config.items() if k != "class"})

    def construct_requests(self, doc: dict[str, Any], ctx: str, **more: Any) -> Instance:
        """Return one request for an item: its context, and what to measure.

        Raises:
            BadInputError: a chat template was asked for, which the probe's prompts do not have.
        """
        if more.get("apply_chat_template"):
            raise BadInputError(
                f"{self.config.task}: --apply_chat_template is not possible with groundbench_full tasks"
            )
        return Instance(request_type=REQUEST, doc=doc, arguments=(ctx, dict(doc)), idx=0, metadata=more["metadata"])
