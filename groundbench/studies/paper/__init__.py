"""The paper's study made again on a user's own corpus: train, measure, and a verdict on each of its claims."""

from groundbench.studies.paper.claims import claims_of
from groundbench.studies.paper.image_claims import claims_on_images
from groundbench.studies.paper.reproduce import reproduce
from groundbench.studies.paper.runs import Run, find_runs
from groundbench.studies.paper.verdict import Claim, Verdict

__all__ = ["Claim", "Run", "Verdict", "claims_of", "claims_on_images", "find_runs", "reproduce"]
