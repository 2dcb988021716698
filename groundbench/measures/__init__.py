"""Everything that `run --measure` computes, one folder a measure."""
