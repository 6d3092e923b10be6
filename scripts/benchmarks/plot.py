"""Bar charts as SVG, readable on light and on dark: everybody's median, line by line, as words and as bars. Pure."""

from collections.abc import Sequence
from html import escape
from statistics import median

from scripts.benchmarks.lines import OURS, Line, significant

WIDTH, LABEL, BARS, BAR, GAP = 760, 330, 250, 12, 10
NAMES = {"fuse": "volfs through FUSE", "no-binds": "without binds"}
STYLE = """text{font:12px system-ui,sans-serif;fill:#1f2328}.small{font-size:10.5px;fill:#59636e}
.volfs{fill:#0969da}.fuse{fill:#54aeff}.peer{fill:#9aa4ae}
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.small{fill:#9198a1}.volfs{fill:#4493f8}.fuse{fill:#1f6feb}.peer{fill:#656c76}}"""


def pictures(lines: Sequence[Line]) -> dict[str, str]:
    """A chart for each part in which volfs has a peer, by its name."""
    found = {}
    for part in dict.fromkeys(line.part for line in lines):
        rows = [line for line in lines if line.part == part and any(who not in OURS for who in line.values)]
        if rows:
            better = {line.better for line in rows}
            found[part] = chart(f"{part}: {'longer' if better == {'more'} else 'shorter'} is better", rows)
    return found


def chart(title: str, lines: Sequence[Line]) -> str:
    """A row for each line with a bar for everybody; the longest bar of a row fills its width."""
    top, body = 36, []
    for line in lines:
        body.append(_row(line, top))
        top += BAR * len(line.values) + GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" role="img" '
        f'aria-label="{escape(title)}">'
        f'<style>{STYLE}</style><text x="8" y="20" font-weight="600">{escape(title)}</text>{"".join(body)}</svg>\n'
    )


def _row(line: Line, top: int) -> str:
    medians = {who: median(values) for who, values in line.values.items() if values}
    longest = max(medians.values()) or 1
    middle = top + BAR * len(medians) / 2 + 4
    parts = [f'<text x="8" y="{middle:.0f}">{escape(line.what)}</text>']
    for number, (who, value) in enumerate(medians.items()):
        y, width = top + BAR * number, max(1.0, BARS * value / longest)
        said = f"{NAMES.get(who, who)} {significant(value)} {line.unit}"
        kind = who if who in OURS else "peer"
        parts.append(f'<rect class="{kind}" x="{LABEL}" y="{y}" width="{width:.1f}" height="{BAR - 2}" rx="2"/>')
        parts.append(f'<text class="small" x="{LABEL + width + 5:.1f}" y="{y + 9}">{escape(said)}</text>')
    return "".join(parts)
