"""A report as one web page, which needs no network."""

from sdewm.page.write import write_page

__all__ = ["write_page"]
