"""Draws the charts of a report as self-contained, deterministic SVG: no scripts and no fonts to load."""

from __future__ import annotations

from typing import Any

import pygal
from pygal.etree import etree
from pygal.style import Style

from reflectevo_tui.report.document import Chart
from reflectevo_tui.text.display import visible

COLOURS = ("#1f6feb", "#c2410c", "#0f766e", "#7c3aed", "#a16207", "#be185d", "#475569", "#15803d")
"""Colours of the lines; every pair is distinguishable for colour-blind readers, and the legend names every line."""

_APART = 0.07
"""Horizontal offset between lines at a named position of the axis, so that their intervals don't overlap."""
_FONT = "system-ui, -apple-system, Segoe UI, Roboto, DejaVu Sans, sans-serif"


class _Lines(pygal.XY):  # type: ignore[misc]
    """Lines whose points can have intervals; pygal's own code expects a number where an XY chart has a pair."""

    def _confidence_interval(self, node: Any, x: float, y: float, value: Any, metadata: Any) -> None:
        super()._confidence_interval(node, x, y, value[1], metadata)


def draw(chart: Chart) -> str:
    """Return the SVG element of a chart."""
    # Where lxml is installed, pygal would use it and produce different bytes.
    etree.to_etree()
    style = Style(
        background="transparent",
        plot_background="transparent",
        foreground="#333a45",
        foreground_strong="#111827",
        foreground_subtle="#8b93a1",
        opacity="1",
        opacity_hover="1",
        transition="0s",
        colors=COLOURS,
        font_family=_FONT,
        label_font_size=13,
        major_label_font_size=13,
        legend_font_size=14,
        title_font_size=15,
        guide_stroke_color="#d7dbe2",
        major_guide_stroke_color="#d7dbe2",
        guide_stroke_dasharray="0",
        major_guide_stroke_dasharray="0",
        stroke_width="2",
    )
    picture = _Lines(
        style=style,
        width=860,
        height=340,
        explicit_size=False,
        js=(),
        css=("file://style.css", "file://graph.css", *_interval_colours(chart)),
        classes=("chart",),
        disable_xml_declaration=True,
        show_x_guides=False,
        show_y_guides=True,
        dots_size=4 if chart.ticks else 2,
        show_dots=bool(chart.ticks) or all(len(line.points) < 40 for line in chart.lines),
        stroke_style={"width": 2},
        legend_at_bottom=True,
        legend_at_bottom_columns=min(len(chart.lines), 4),
        legend_box_size=12,
        truncate_legend=40,
        x_title=visible(chart.x_title),
        y_title=visible(chart.y_title),
        margin=12,
        spacing=8,
        **_axes(chart),
    )
    picture.uuid = chart.id
    count = len(chart.lines)
    for position, line in enumerate(chart.lines):
        shift = _APART * (position - (count - 1) / 2) if chart.ticks else 0.0
        picture.add(visible(line.name), [_value(point, shift) for point in line.points])
    picture.add_xml_filter(_plain)
    return str(picture.render(is_unicode=True))


def _interval_colours(chart: Chart) -> list[str]:
    return [
        f"inline:#chart-{chart.id} .serie-{position} .ci {{ stroke: {COLOURS[position % len(COLOURS)]}; opacity: .55 }}"
        for position in range(len(chart.lines))
    ]


def _value(point: Any, shift: float) -> dict[str, Any]:
    value: dict[str, Any] = {"value": (point.x + shift, point.y)}
    if point.low is not None and point.high is not None:
        value["ci"] = {"low": point.low, "high": point.high}
    return value


def _axes(chart: Chart) -> dict[str, Any]:
    if not chart.ticks:
        return {}
    lows = [point.y if point.low is None else point.low for line in chart.lines for point in line.points]
    highs = [point.y if point.high is None else point.high for line in chart.lines for point in line.points]
    bottom, top = 10 * (min(lows) // 10), 10 * -(-max(highs) // 10)
    top = max(top, bottom + 10)
    return {
        "xrange": (0.6, len(chart.ticks) + 0.4),
        "range": (bottom, top),
        "y_labels": list(range(int(bottom), int(top) + 1, 10)),
        "x_labels": [{"label": visible(name), "value": position} for position, name in enumerate(chart.ticks, start=1)],
    }


def _plain(root: Any) -> Any:
    """Return the picture without scripts, its creation date, and ids that are not unique across pictures."""
    for parent in list(root.iter()):
        if parent is not root:
            parent.attrib.pop("id", None)
        for child in list(parent):
            if not isinstance(child.tag, str) or child.tag.rpartition("}")[2] in ("script", "desc"):
                parent.remove(child)
    return root
