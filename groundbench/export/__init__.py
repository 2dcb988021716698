"""Results in the formats of others: every-eval-ever, the Hugging Face Hub, lm-eval, CSV, Markdown, LaTeX."""

from groundbench.export.every_eval_ever import to_every_eval_ever
from groundbench.export.lm_eval_json import to_hub, to_lm_eval
from groundbench.export.tables import to_csv, to_latex, to_markdown, to_model_card

__all__ = ["to_csv", "to_every_eval_ever", "to_hub", "to_latex", "to_lm_eval", "to_markdown", "to_model_card"]
