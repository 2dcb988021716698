"""The pydantic schema of every file a user reads: result.json, trajectory.json, card.json, items.parquet."""
