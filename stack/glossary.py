"""What the dbt project says its terms and columns mean, for whoever shows it to readers."""

from __future__ import annotations

import re

from stack.settings import ROOT


def doc_blocks(*files: str) -> dict[str, str]:
    """{name: text} of the `docs` blocks of files below dbt/models; of both files when none is named."""
    text = "".join((ROOT / "dbt" / "models" / name).read_text() for name in files or ("columns.md", "glossary.md"))
    found = re.findall(r"\{% docs (\w+) %\}\n(.*?)\n\{% enddocs %\}", text, re.S)
    return {name: body.strip() for name, body in found}
