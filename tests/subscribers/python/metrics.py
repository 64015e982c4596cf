"""Reads metrics from standard input with Prometheus' own library; prints as JSON
each sample by its name and labels. Families without a type or a help are an error."""

import json
import sys

from prometheus_client.parser import text_string_to_metric_families

samples = {}
for family in text_string_to_metric_families(sys.stdin.read()):
    if family.type not in ("gauge", "counter") or not family.documentation:
        sys.exit(f"{family.name}: {family.type}, {family.documentation!r}")
    for sample in family.samples:
        labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
        key = f"{sample.name}{{{labels}}}"
        if key in samples:
            sys.exit(f"{key} twice")
        samples[key] = sample.value
print(json.dumps({"samples": samples}))
