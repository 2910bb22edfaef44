"""lambdad: AWS Lambda on your own Linux machines."""

__version__ = "0.1.0"
