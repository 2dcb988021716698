"""groundbench: does a model's word depend on what it was shown, or only on the words around it?"""

__version__ = "0.1.0"
