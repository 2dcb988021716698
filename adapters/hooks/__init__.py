"""Head hooks: weights, values and outputs of every head, and edits of them, for any loaded transformers model.

o_q = sum_k W_qk v_k holds for attention and for Mamba-2's scan alike (protocol §8), so saliency, head detection and
ablation are written once, against `groundbench.api.adapter.Trace` and `groundbench.api.adapter.HeadEdit`.
"""

from groundbench.adapters.hooks.head_hooks import HeadHooks, attach

__all__ = ["HeadHooks", "attach"]
