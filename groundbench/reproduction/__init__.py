"""The paper's study made again on a user's own corpus: train, measure, and a verdict on each of its claims."""

from groundbench.reproduction.claims import claims_of
from groundbench.reproduction.picture_claims import picture_claims
from groundbench.reproduction.reproduce import reproduce
from groundbench.reproduction.runs import Run, find_runs
from groundbench.reproduction.verdict import Claim, Verdict

__all__ = ["Claim", "Run", "Verdict", "claims_of", "find_runs", "picture_claims", "reproduce"]
