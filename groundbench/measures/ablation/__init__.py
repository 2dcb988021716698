"""The measure `ablation`: the gain that is lost when detected heads are cut."""
