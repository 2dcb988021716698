"""The leaderboard: submissions read as data from strangers, checked, ranked, and shown on a static site."""

from groundbench.leaderboard.board import Board, add_run, open_board
from groundbench.leaderboard.site.build import build_site
from groundbench.leaderboard.submission.strict_json_yaml import RefusedError
from groundbench.leaderboard.submission.submission import Submission, read_submission

__all__ = ["Board", "RefusedError", "Submission", "add_run", "build_site", "open_board", "read_submission"]
