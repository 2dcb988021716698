"""From a name, folder or .gguf file to a torch model."""
