"""Why a test may be skipped. Any other reason fails where CI is set, so that no test is left out without a word."""

from __future__ import annotations

# The beginning of a reason, and why it is none to worry about.
JUSTIFIED = {
    "could not import 'dm_control'": "the extra 'worldmodel', a large simulator; training is tested on a point mass",
    "could not import 'tensorboard'": "the extra 'tensorboard'; the same numbers are in metrics.jsonl, which is tested",
    "could not import 'torchrl'": "large, and bound to versions of torch; modules with the same parts are tested",
    "diffrax is not installed": "the extra 'bench'; only figures of a comparison need it",
    "no Chromium here": "no package of Python's; the page's text, links and numbers are tested without it",
    "images need a renderer": "no OpenGL on this machine; training from pixels is tested on a point mass",
    "glibc alone": "other allocators are left as they are",
    "mounting is not permitted here": "needs user name spaces; full disks are tested by patched writes too",
}


def unjustified(reason: str) -> bool:
    """Whether a reason, as pytest gives it, is not listed."""
    text = reason.removeprefix("Skipped: ")
    return not any(text.startswith(beginning) for beginning in JUSTIFIED)
