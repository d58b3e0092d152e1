"""The report: one HTML file without anything from elsewhere, and a short table for the console."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from tests.bench import charts
from tests.bench.goals import Goal, what_bounds
from tests.bench.runs import Run, Runs

_STYLE = """
:root{color-scheme:light dark;--ground:#fff;--ink:#1c2024;--quiet:#646b73;--line:#dfe3e6;
--one:#3b6fd4;--two:#d9822b;--three:#2f9e77;--four:#a35bbf;--five:#c0504d;--six:#8a8f98}
@media(prefers-color-scheme:dark){:root{--ground:#16181b;--ink:#e6e8ea;--quiet:#9aa1a9;--line:#33383d;
--one:#6f9bf0;--two:#eba45c;--three:#57c29a;--four:#c48adb;--five:#e07f7c;--six:#9aa1a9}}
body{background:var(--ground);color:var(--ink);font:15px/1.5 system-ui,sans-serif;max-width:62rem;
margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2.2rem}
table{border-collapse:collapse;width:100%;font-size:13.5px;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:.3rem .6rem .3rem 0;border-bottom:1px solid var(--line);vertical-align:top}
td.n,th.n{text-align:right}.scroll{overflow-x:auto}
svg{width:100%;max-width:720px;height:auto;font:12.5px system-ui,sans-serif;display:block}
svg text{fill:var(--ink)}svg .quiet{fill:var(--quiet)}svg .grid{stroke:var(--line)}
svg .dot{fill:var(--ground);stroke:var(--ink)}
.quiet{color:var(--quiet)}.missed{color:var(--five);font-weight:600}.met{color:var(--three);font-weight:600}
"""

_TITLES = {
    "plain-1": "plain design, 1 client",
    "plain-4": "plain design, 4 clients",
    "plain-16": "plain design, 16 clients",
    "plain-64": "plain design, 64 clients",
    "workers-topup-64": "4 workers: top-up, 64",
    "workers-transfer-64": "4 workers: random pairs, 64",
}


def title_of(name: str) -> str:
    verb, _, connections = name.rpartition("-")
    return _TITLES.get(name, f"{verb}, {connections} connection{'s' if connections != '1' else ''}")


def html(results: Mapping[str, Any], runs: Sequence[Run], kept: Runs, goals: Sequence[Goal], *, cores: int) -> str:
    """The whole report."""
    names = [name for name in dict.fromkeys(run.name for run in runs) if kept.named(name)]
    sections = [
        "<h1>Wallet service: benchmark</h1>",
        f"<p class=quiet>{escape(results['started_at'])} · commit {escape(results['conditions']['commit'])} · "
        "medians of alternating runs; dots are single runs. Ratios are taken within a round.</p>",
        "<h2>Goals</h2>",
        _goal_table(goals),
        "<h2>Money</h2>",
        _money(results),
        "<h2>Accepted requests per second</h2>",
        charts.bars(
            "requests per second",
            {title_of(name): kept.median(name, lambda run: run.per_second) or 0 for name in names},
            dots={title_of(name): [run.per_second for run in kept.named(name)] for name in names},
        ),
        "<h2>Latency: how many are answered within</h2>",
        charts.lines_logarithmic("latency distribution", _latency_series(kept), x_unit="ms"),
        "<h2>CPU per accepted request</h2>",
        "<p class=quiet>All processes of the service and of PostgreSQL, and the load generator, which shares the cores."
        "</p>",
        *(
            charts.stacked("CPU per request", _cpu_rows(kept, some), unit=" µs")
            # The two differ too much for one scale.
            for some in (
                [name for name in names if name.startswith("plain")],
                [name for name in names if not name.startswith("plain")],
            )
        ),
        *_batch_sections(kept, names),
        *_disk_sections(results, runs),
        "<h2>All runs</h2>",
        _run_table(runs, cores),
        "<h2>Conditions</h2>",
        _conditions(results["conditions"]),
    ]
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>Wallet service: benchmark</title><style>{_STYLE}</style><body>{''.join(sections)}</body></html>\n"
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: Sequence[int] = ()) -> str:
    """Cells are HTML already."""

    def cells(row: Sequence[str], tag: str) -> str:
        return "".join(
            f"<{tag}{' class=n' if index in numbers else ''}>{cell}</{tag}>" for index, cell in enumerate(row)
        )

    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    return f"<div class=scroll><table><tr>{cells(head, 'th')}</tr>{body}</table></div>"


def _figure(value: float | None, unit: str) -> str:
    if value is None:
        return "–"
    text = f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
    return f"{text} {unit}" if unit != "x" else f"{text} ×"


def _goal_table(goals: Sequence[Goal]) -> str:
    rows = []
    for goal in goals:
        kind = "missed" if goal.verdict == "MISSED" else "quiet" if goal.measured is None else "met"
        rows.append(
            [
                escape(goal.what),
                _figure(goal.measured, goal.unit),
                f"{goal.least_word} {_figure(goal.least, goal.unit)}",
                _figure(goal.aim, goal.unit),
                f"<span class={kind}>{escape(goal.verdict)}</span>",
                f"{escape(goal.basis)}<br><span class=quiet>{escape(goal.bound)}</span>",
            ]
        )
    head = ["what", "measured", "goal", "aim", "", "figures, and what bounds it"]
    return _table(head, rows, numbers=(1, 2, 3))


def _money(results: Mapping[str, Any]) -> str:
    lines = []
    if plain := results.get("plain_money"):
        verdict = "agrees" if plain["agrees"] else "DOES NOT AGREE"
        lines.append(
            f"Plain design: {plain['transactions']:,} transactions, treasury {plain['treasury']:,}: {verdict}."
        )
    if money := results.get("money"):
        verdict = "agrees" if money["agrees"] else "DOES NOT AGREE"
        lines.append(
            f"Service: acknowledged (201 only) {money['acknowledged']}; treasury {money['treasury']['found']:,}, "
            f"revenue {money['revenue']['found']:,}, all users {money['users']['found']:,}; "
            f"requests without a clear answer: {money['unknown_requests']}: {verdict}."
        )
    return "".join(f"<p>{escape(line)}</p>" for line in lines)


def _latency_series(runs: Runs) -> dict[str, list[tuple[float, float]]]:
    series = {}
    for name in ("plain-64", "topup-64", "topup-256", "balance-64", "plain-1", "topup-1"):
        if run := runs.typical(name):
            series[title_of(name)] = [(ms, float(percent)) for percent, ms in run.latency_ms.items()]
    return series


def _cpu_rows(runs: Runs, names: Sequence[str]) -> dict[str, dict[str, float]]:
    rows = {}
    for name in names:
        if run := runs.typical(name):
            rows[title_of(name)] = {
                shown: run.cpu_us.get(who, 0.0)
                for who, shown in (("service", "service"), ("postgres", "PostgreSQL"), ("load", "load generator"))
            }
    return rows


def _batch_sections(runs: Runs, names: Sequence[str]) -> list[str]:
    steps, sections = {}, []
    for name in names:
        run = runs.typical(name)
        batches = run.details.get("batches") if run else None
        if not batches:
            continue
        if batches["step_ms_mean"]:
            steps[f"{title_of(name)} ({batches['items_mean']:.1f})"] = batches["step_ms_mean"]
        if name in ("topup-16", "topup-64", "topup-256"):
            sizes = {f"at most {each['upto']}": float(each["batches"]) for each in batches["sizes"]}
            seen = [index for index, value in enumerate(sizes.values()) if value > 0]
            shown = dict(list(sizes.items())[seen[0] : seen[-1] + 1]) if seen else {}
            sections.append(f"<h3>Batches by number of items: {escape(title_of(name))}</h3>")
            sections.append(charts.bars(f"batch sizes, {title_of(name)}", shown))
    if not steps and not sections:
        return ["<h2>Batches</h2><p class=quiet>The service published no batch metrics.</p>"]
    return [
        "<h2>Where the time of a batch goes (mean items per batch in brackets)</h2>",
        charts.stacked("time per step of a batch", steps, unit=" ms"),
        *sections,
    ]


def _disk_sections(results: Mapping[str, Any], runs: Sequence[Run]) -> list[str]:
    sections = [
        "<h2>Flush of 8 kB right before each run</h2>",
        f"<p class=quiet>Median of a hundred, in order of the runs. Usual: {results['usual_flush_us']:.0f} µs; a run "
        "whose disk was more than three times off does not count, nor one during which "
        "others used a tenth of the machine.</p>",
        charts.bars(
            "flush time", {f"{i + 1}. {title_of(run.name)}": run.flush_us for i, run in enumerate(runs)}, unit=" µs"
        ),
    ]
    if disk := results.get("bytes"):
        sections = [
            "<h2>Bytes on disk per transaction</h2>",
            charts.bars("bytes per transaction", disk["by_table"], unit=" B"),
            *sections,
        ]
    return sections


def _run_table(runs: Sequence[Run], cores: int) -> str:
    rows = []
    for run in runs:
        wal = run.details.get("wal_bytes_per_request")
        disturbed = f"<br><b>disturbed: {escape(run.discarded)}</b>" if run.discarded else ""
        rows.append(
            [
                f"{escape(title_of(run.name))}{disturbed}",
                str(run.round),
                f"{run.per_second:,.0f}",
                f"{run.latency_ms['50']:.2f}",
                f"{run.latency_ms['99']:.2f}",
                " + ".join(f"{run.cpu_us.get(who, 0):.0f}" for who in ("service", "postgres", "load")),
                f"{wal:,.0f}" if wal is not None else "–",
                f"{run.details.get('wal_flushes_per_request', 0):.2f}" if wal is not None else "–",
                escape(", ".join(f"{s}: {n}" for s, n in run.details.get("statuses", {}).items())),
                f"<span class=quiet>{escape(what_bounds(run, cores=cores))}</span>",
            ]
        )
    head = ["run", "round", "/s", "p50 ms", "p99 ms", "CPU µs: service + PostgreSQL + load"]
    head += ["WAL bytes", "flushes per request", "answers (warm-up too)", "bound by"]
    return _table(head, rows, numbers=(1, 2, 3, 4, 5, 6, 7))


def _conditions(conditions: Mapping[str, Any]) -> str:
    rows = [
        [escape(group), escape(name), escape(str(value))]
        for group, values in conditions.items()
        for name, value in (values.items() if isinstance(values, dict) else [("", values)])
    ]
    return _table(["", "", ""], rows)


def console(runs: Sequence[Run], kept: Runs, goals: Sequence[Goal], results: Mapping[str, Any]) -> str:
    """The figures that a reader wants to see first."""
    lines = [f"{'run':32}{'n':>3}{'per s':>10}{'p50 ms':>9}{'p99 ms':>9}{'CPU µs service+PG':>20}{'load':>6}"]
    for name in dict.fromkeys(run.name for run in runs):
        shown = kept.named(name)
        if not shown:
            reasons = "; ".join(run.discarded for run in runs if run.name == name)
            lines.append(f"{title_of(name):32}  all runs were disturbed: {reasons}")
            continue

        def median(figure: Any, name: str = name) -> float:
            return kept.median(name, figure) or 0.0

        service, postgres = median(lambda r: r.cpu_us.get("service", 0)), median(lambda r: r.cpu_us["postgres"])
        lines.append(
            f"{title_of(name):32}{len(shown):>3}{median(lambda r: r.per_second):>10,.0f}"
            f"{median(lambda r: r.latency_ms['50']):>9.2f}{median(lambda r: r.latency_ms['99']):>9.2f}"
            f"{f'{service:.0f} + {postgres:.0f}':>20}{median(lambda r: r.cpu_us['load']):>6.0f}"
        )
    lines.append("")
    for goal in goals:
        figures = f"{_figure(goal.measured, goal.unit)} ({goal.least_word} {_figure(goal.least, goal.unit)}, "
        lines.append(f"{goal.verdict:13} {goal.what}: {figures}aim {_figure(goal.aim, goal.unit)})")
        lines.extend(f"{'':14}{text}" for text in (goal.basis, goal.bound) if text)
    discarded = sum(bool(run.discarded) for run in runs)
    lines.append("")
    lines.append(f"usual flush {results['usual_flush_us']:.0f} µs, {discarded} of {len(runs)} runs disturbed")
    for part, name in (("plain design", "plain_money"), ("service", "money")):
        if name in results:
            lines.append(f"money, {part}: {'agrees' if results[name]['agrees'] else 'DOES NOT AGREE'}")
    return "\n".join(lines)
