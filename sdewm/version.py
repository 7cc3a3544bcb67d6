"""The version of the package, which its lowest files know too."""

__version__ = "0.1.0"
