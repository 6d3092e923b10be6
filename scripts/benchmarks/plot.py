"""A bar chart as SVG, readable on light and on dark: how long everybody takes for what volfs does, volfs being 1."""

from collections.abc import Sequence
from html import escape
from statistics import median

from scripts.benchmarks.lines import Line, significant

WIDTH, ROW, LABEL, BARS = 760, 34, 330, 300
STYLE = """text{font:13px system-ui,sans-serif;fill:#1f2328}.small{font-size:11px;fill:#59636e}
.ours{fill:#0969da}.theirs{fill:#9aa4ae}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.small{fill:#9198a1}.ours{fill:#4493f8}.theirs{fill:#656c76}}"""


def chart(title: str, lines: Sequence[Line]) -> str:
    """Two bars a line: volfs and whom it is compared with; the longer one fills the width."""
    rows = [line for line in lines if line.ratio() is not None]
    height = 44 + ROW * len(rows) + 8
    body = "".join(_row(line, 40 + ROW * number) for number, line in enumerate(rows))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{escape(title)}">'
        f'<style>{STYLE}</style><text x="8" y="22" font-weight="600">{escape(title)}</text>{body}</svg>\n'
    )


def _row(line: Line, top: int) -> str:
    ours, theirs = median(line.values["volfs"]), median(line.values[line.against])
    longest = max(ours, theirs)
    parts = [f'<text x="8" y="{top + 18}">{escape(line.what)}</text>']
    for number, (name, value, kind) in enumerate((("volfs", ours, "ours"), (line.against, theirs, "theirs"))):
        y, width = top + 3 + 13 * number, max(1.0, BARS * value / longest)
        said = f"{name} {significant(value)} {line.unit}"
        parts.append(f'<rect class="{kind}" x="{LABEL}" y="{y}" width="{width:.1f}" height="10" rx="2"/>')
        parts.append(f'<text class="small" x="{LABEL + width + 5:.1f}" y="{y + 9}">{escape(said)}</text>')
    return "".join(parts)
