"""A user's own file of evidence, questions and answers as records (protocol §16)."""

from groundbench.tasks.questions.records.as_questions import as_questions
from groundbench.tasks.questions.records.load import ReadOptions, is_records, load_records

__all__ = ["ReadOptions", "as_questions", "is_records", "load_records"]
