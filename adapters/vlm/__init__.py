"""Vision-language models of transformers: images in prompts, read by the model's own processor and vision tower."""
