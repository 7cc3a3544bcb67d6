"""The sections of this project's docstrings as reStructuredText.

An entry of ``Parameters`` is ``name : what it is``, with further lines indented. Extensions for numpy's style take what
follows the colon for a type, so this is done here: an entry becomes a term with its text.
"""

import re

SECTIONS = {"Parameters", "Attributes", "Raises", "Returns"}
# What is left as it is: literals, references, and words between asterisks.
LITERAL = re.compile(r"(``.*?``|`[^`]*`_?|(?<![\w*])\*\w+\*(?![\w*]))")


def process(app, what, name, obj, options, lines):
    """Sphinx's hook: rewrite the lines of one docstring in place."""
    lines[:] = list(rewritten(lines))


def rewritten(lines):
    """The lines with each section as a heading and a list of terms."""
    i = 0
    section = example = literal = False
    while i < len(lines):
        line = lines[i]
        example = line.startswith(">>>") or (example and bool(line))
        literal = line.endswith("::") or (literal and (not line or line.startswith(" ")))
        if line in SECTIONS and i + 1 < len(lines) and set(lines[i + 1]) == {"-"}:
            section = True
            yield from ("", f".. rubric:: {line}", "")
            i += 2
            continue
        if section and line and not line.startswith(" ") and " : " in line:
            names, _, text = line.partition(" : ")
            more = []
            while i + 1 < len(lines) and (lines[i + 1].startswith(" ") or _continues(lines, i + 1)):
                i += 1
                more.append(lines[i])
            yield ", ".join(f"``{one.strip()}``" for one in names.split(","))
            yield from (f"    {escaped(part.strip())}" if part else "" for part in _joined(text, more))
            yield ""
        else:
            if line and not line.startswith(" "):
                section = False
            yield line if example or literal else escaped(line)
        i += 1


def _continues(lines, i):
    """Whether an empty line is followed by more of the same entry, as before a list."""
    return not lines[i] and i + 1 < len(lines) and lines[i + 1].startswith(" ")


def _joined(text, more):
    """An entry's lines; a list in it stands apart."""
    yield text
    before = text
    for line in more:
        item = line.strip().startswith("- ")
        if item and before and not before.strip().startswith("- "):
            yield ""
        yield line
        before = line


def escaped(line):
    """A bar would begin a substitution, as in |x|, and an asterisk emphasis; literals keep theirs."""
    parts = LITERAL.split(line)
    return "".join(part if i % 2 else part.replace("|", "\\|").replace("*", "\\*") for i, part in enumerate(parts))
