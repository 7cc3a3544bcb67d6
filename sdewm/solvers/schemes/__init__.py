"""The schemes, one to a file. Each enters its name into the registry; a file that is put here is found."""

import importlib
import pkgutil

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
