"""What was measured, as tables: medians over the rounds, and beside each the smallest and the
largest round where they matter."""

from statistics import median


def table(result):
    """Rows of cells, the first row the heads. Every figure stands with its ratio to nginx's."""
    loads = result["loads"]
    names = list(dict.fromkeys(name for load in loads.values() for name in load))
    names = [name for name in names if name != "direct"]
    rows = [["", *names]]
    for load in ("1", "64", "256"):
        if load in loads:
            row = costs(result, load, names, "requests")
            rows.append([f"CPU µs a request, {load} at once", *row])
    if "64" in loads:
        rows.append(["above the floor, 64 at once", *above_floor(result, names)])
    for load, what in (("paced", "20 ms apart"), ("burst", "in bursts")):
        if load in loads:
            rows.append([f"CPU µs a chunk, {what}", *costs(result, load, names, "events")])
    for percentile in ("p50", "p99"):
        if "rate" in loads:
            row = added(result, names, f"{percentile}_us")
            rows.append([f"added latency {percentile}, ms", *row])
    failed = [sum(failures(result, name)) for name in names]
    if any(failed):
        rows.append(["failed requests", *(str(number) for number in failed)])
    if result["programs"]:
        rows += of_programs(result, names)
    return rows


def costs(result, load, names, unit):
    """CPU for each unit, and its ratio to nginx's in the same round."""
    rounds = {name: per(result, load, name, unit) for name in names}
    cells = []
    for name in names:
        own = rounds[name]
        if not any(own):
            cells.append("–")
            continue
        ratios = [a / b for a, b in zip(own, rounds["nginx"]) if b]
        low, high = min(ratios), max(ratios)
        spread = "" if name == "nginx" else f" ×{median(ratios):.2f} ({low:.2f}–{high:.2f})"
        cells.append(f"{short(median(own))}{spread}")
    return cells


def above_floor(result, names):
    own = {name: per(result, "64", name, "requests") for name in names}
    cells = []
    for name in names:
        more = median(a - b for a, b in zip(own[name], own["floor"]))
        cells.append("–" if name == "floor" else f"{more:+.1f} µs")
    return cells


def per(result, load, name, unit):
    """Microseconds in each round; none where a process ended meanwhile, whose time is then lost."""
    seen = result["loads"][load].get(name, [])
    known = all(one[unit] and one["cpu_s"] >= 0 for one in seen)
    return [one["cpu_s"] / one[unit] * 1e6 if known else 0.0 for one in seen]


def added(result, names, percentile):
    """Latency above that of asking the simulator itself in the same round."""
    direct = result["loads"]["rate"]["direct"]
    cells = []
    for name in names:
        own = result["loads"]["rate"][name]
        pairs = [(a[percentile], b[percentile]) for a, b in zip(own, direct)]
        more = [a - b for a, b in pairs if a and b]
        cells.append(f"{median(more) / 1e3:.2f}" if more else "–")
    return cells


def failures(result, name):
    for of_load in result["loads"].values():
        yield from (one["failed"] for one in of_load.get(name, []))


def of_programs(result, names):
    programs = [result["programs"].get(name) for name in names]

    def row(head, cell):
        return [head, *(cell(one) if one else "–" for one in programs)]

    def stream(number):
        def cell(one):
            found = one["streams"].get(number, one["streams"].get(str(number)))
            return f"{found / 1e3:.1f}" if found else "–"

        return cell

    return [
        row("memory idle, MB", lambda one: f"{one['idle'] / 1e6:.1f}"),
        row("memory a stream, kB, 1,000 open", stream(1000)),
        row("memory a stream, kB, 4,000 open", stream(4000)),
        row("ready after, ms", lambda one: f"{median(one['start_s']) * 1e3:.0f}"),
        row("program, MB", lambda one: f"{one['size'] / 1e6:.1f}" if one["size"] else "–"),
    ]


def plain(result):
    """For a terminal: one figure a line would be long, so one contender a column."""
    rows = table(result)
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    lines = [heading(result), ""]
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        lines.append("  ".join(cells).rstrip())
    return "\n".join([*lines, *notes(result)])


def markdown(result):
    """For a document."""
    rows = table(result)
    lines = [heading(result), "", line(rows[0]), line(["---", *["--:"] * (len(rows[0]) - 1)])]
    lines += [line(row) for row in rows[1:]]
    return "\n".join([*lines, *notes(result)])


def line(cells):
    return "| " + " | ".join(cells) + " |"


def heading(result):
    return (
        f"{result['cores']} cores shared with load and simulator, "
        f"{result['busy_before']:.0%} busy with other work before the start; "
        f"medians of {result['rounds']} rounds; × is the ratio to nginx in the same round "
        "(smallest–largest)"
    )


def notes(result):
    skipped = [f"left out: {name}: {why}" for name, why in result["skipped"].items()]
    return ["", *skipped] if skipped else []


def short(number):
    return f"{number:.1f}" if number < 1000 else f"{number:,.0f}"
