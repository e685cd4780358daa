"""Figures as Prometheus reads them, by its own parser."""

from prometheus_client.parser import text_string_to_metric_families

from forecast_assets.core.operational_metrics import PREFIX

# By name without the common prefix, and labels.
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def parsed(text: str) -> Samples:
    """Read figures by Prometheus' parser; a sample by its name and labels."""
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            assert sample.name.startswith(PREFIX)
            labels = tuple(sorted(sample.labels.items()))
            assert (sample.name, labels) not in found, "a sample comes once"
            found[sample.name.removeprefix(PREFIX), labels] = sample.value
    return found


def labelled(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, tuple(sorted(labels.items()))]
