"""Counts arrive at /metrics: of this process, and of every worker's."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from service.kernel import metrics

# The library is imported before the folder is known, as in the parent of a forked worker.
WORKER = """
import os
folder = os.environ.pop("PROMETHEUS_MULTIPROC_DIR")
from service.kernel import metrics
os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
if os.fork():
    os._exit(os.waitstatus_to_exitcode(os.wait()[1]))
metrics.count_request("redeem", 201, 0.004)
metrics.count_request("redeem", 201, 0.3)
metrics.count_operation("redemption", "captured")
metrics.set_queue_length(3)
metrics.flush()
"""
SCRAPER = """
import sys
from service.kernel import metrics
metrics.set_queue_length(4)
sys.stdout.buffer.write(metrics.exposition()[0])
"""


def lines(text: bytes) -> dict[str, float]:
    """Samples by their name and labels."""
    rows = [row.rpartition(" ") for row in text.decode().splitlines() if not row.startswith("#")]
    return {name: float(value) for name, _, value in rows}


def python(program: str, folder: Path) -> bytes:
    environment = {**os.environ, metrics.MULTIPROCESS_DIR: str(folder)}
    return subprocess.run(
        [sys.executable, "-c", program], env=environment, check=True, capture_output=True
    ).stdout


def test_what_was_counted_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(metrics.MULTIPROCESS_DIR, raising=False)
    before = lines(metrics.exposition()[0])
    metrics.count_request("lookup", 200, 0.002)
    metrics.count_request("lookup", 200, 0.0021)
    metrics.count_request("lookup", 404, 99)
    metrics.count_operation("top_up", "accepted")
    metrics.count_refusal("not_found")
    metrics.count_refusal("redemption_refused", ("card_frozen", "insufficient_balance"))
    metrics.count_spans("sent", 3)
    metrics.count_batch(7, 0.003)
    metrics.count_misses(2)
    metrics.count_retry("serialization_failure")
    metrics.set_queue_length(5)
    text, media_type = metrics.exposition()
    after = lines(text)
    grown = {name: value - before.get(name, 0) for name, value in after.items()}
    assert grown['kafang_http_requests_total{route="lookup",status="200"}'] == 2
    assert grown['kafang_http_requests_total{route="lookup",status="404"}'] == 1
    assert grown['kafang_operations_total{kind="top_up",outcome="accepted"}'] == 1
    assert grown['kafang_refusals_total{code="not_found"}'] == 1
    assert grown['kafang_refusal_reasons_total{reason="card_frozen"}'] == 1
    assert grown['kafang_refusal_reasons_total{reason="insufficient_balance"}'] == 1
    assert grown['kafang_spans_total{outcome="sent"}'] == 3
    assert grown["kafang_batch_size_sum"] == 7
    assert grown["kafang_commit_seconds_count"] == 1
    assert grown["kafang_misses_total"] == 2
    assert grown['kafang_retries_total{reason="serialization_failure"}'] == 1
    assert after["kafang_queue_length"] == 5
    assert media_type.startswith("text/plain")
    buckets = [
        grown[f'kafang_http_request_seconds_bucket{{le="{bound}",route="lookup"}}']
        for bound in ("0.001", "0.002", "0.005", "5.0", "+Inf")
    ]
    assert buckets == [0, 1, 2, 2, 3]  # A bound belongs to its bucket; the last one holds all.
    assert grown['kafang_http_request_seconds_count{route="lookup"}'] == 3


def test_nothing_is_counted_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(metrics.MULTIPROCESS_DIR, raising=False)
    metrics.count_misses(1)
    assert metrics.exposition() == metrics.exposition()


def test_all_workers_are_added_up_and_the_dead_ones_have_no_queue(tmp_path: Path) -> None:
    python(WORKER, tmp_path)
    python(WORKER, tmp_path)
    assert len(list(tmp_path.glob("gauge_livesum_*.db"))) == 2
    served = lines(python(SCRAPER, tmp_path))
    assert served['kafang_http_requests_total{route="redeem",status="201"}'] == 4
    assert served['kafang_operations_total{kind="redemption",outcome="captured"}'] == 2
    assert served['kafang_http_request_seconds_bucket{le="0.005",route="redeem"}'] == 2
    assert served['kafang_http_request_seconds_count{route="redeem"}'] == 4
    assert served["kafang_queue_length"] == 4
