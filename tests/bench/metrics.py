"""The service's own account of its batches, read from /metrics before and after a run."""

from collections.abc import Mapping

from prometheus_client.parser import text_string_to_metric_families

Samples = Mapping[tuple[str, tuple[tuple[str, str], ...]], float]

ITEMS = "wallet_batch_items"
SECONDS = "wallet_batch_seconds"
STEPS = ("begin", "lock", "load", "decide", "write", "commit")


def samples_of(text: str) -> Samples:
    """All samples of a Prometheus exposition by name and labels. Samples that differ in nothing are added up."""
    found: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            found[key] = found.get(key, 0.0) + sample.value
    return found


def difference(after: Samples, before: Samples) -> Samples:
    return {key: value - before.get(key, 0.0) for key, value in after.items()}


def _total(samples: Samples, name: str) -> float:
    return sum(value for (sample_name, _), value in samples.items() if sample_name == name)


def batch_sizes(samples: Samples) -> list[dict[str, float | str]]:
    """Batches per bucket of size (`upto` items, inclusive, "+Inf" last), or nothing if there is no such metric."""
    cumulative: dict[float, float] = {}
    for (name, labels), value in samples.items():
        if name == f"{ITEMS}_bucket":
            upto = float(dict(labels)["le"])
            cumulative[upto] = cumulative.get(upto, 0.0) + value
    buckets: list[dict[str, float | str]] = []
    below = 0.0
    for upto, count in sorted(cumulative.items()):
        buckets.append({"upto": "+Inf" if upto == float("inf") else f"{upto:g}", "batches": count - below})
        below = count
    return buckets


def batches(samples: Samples) -> dict[str, object]:
    """Count, mean size, size distribution and seconds per step of the batches; empty if the service tells nothing."""
    count = _total(samples, f"{ITEMS}_count")
    if count == 0:
        return {}
    seconds = {
        step: sum(
            value
            for (name, labels), value in samples.items()
            if name == f"{SECONDS}_sum" and dict(labels).get("step") == step
        )
        for step in STEPS
    }
    return {
        "batches": count,
        "items_mean": _total(samples, f"{ITEMS}_sum") / count,
        "sizes": batch_sizes(samples),
        "step_ms_mean": {step: value / count * 1_000 for step, value in seconds.items() if value > 0},
    }
