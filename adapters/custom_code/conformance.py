"""The conformance kit: does this training code keep the contract? Each claim is tried on the small base model.

Runs in the child process, so that the libraries are imported once for all trials. A trial is a few steps of `train`
in a fresh folder; what it reported, kept and left behind is compared with another trial's.
"""

import importlib
import sys
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from adapters.custom_code import claims, contract, option_claims
from adapters.custom_code.touched import Touched
from adapters.custom_code.trials import Trials, few
from domain.catalogue.options import declared_options
from domain.errors import TrainingMethodError
from domain.ports import Finding

SLOWEST_IMPORT_S = 5.0
"""Everybody who opens a form or lists what a method offers would wait for it."""


def check(task: Mapping[str, Any], pipe: contract.Tells) -> dict[str, Any]:
    """Tell every finding as it comes; how many are broken."""
    broken = 0
    for finding in findings(task):
        broken += finding.verdict == "broken"
        told = {"claim": finding.claim, "verdict": finding.verdict, "words": finding.words}
        pipe.tell({"finding": told})
    return {"broken": broken}


def findings(task: Mapping[str, Any]) -> Iterator[Finding]:
    """What came of each claim, one after the other; a broken start leaves nothing more to try."""
    job = contract.job_from(task["job"])
    job.folder.mkdir(parents=True, exist_ok=True)
    touched = Touched.from_now_on()
    module, imported = _imported(task)
    yield from imported
    if module is None:
        return
    contract.make_ready(job.backend)
    trials = Trials(module, job)
    try:
        yield from _tried(trials, importlib.import_module(task["opening"]).opened)
    except TrainingMethodError as error:
        yield Finding("it can be tried here", "broken", str(error))
        return
    yield _stays_in_its_folder(touched, job.folder)
    yield _uses_no_network(touched)


def _imported(task: Mapping[str, Any]) -> tuple[Any, list[Finding]]:
    """The module, or None where there is nothing to try; and what came of importing it."""
    code = Path(task["code"]) if "code" in task else None
    load = partial(contract.load, code) if code else partial(importlib.import_module, task["module"])
    before, began = set(sys.modules), time.monotonic()
    try:
        module = load()
    except BaseException as error:
        failed = contract.failure(error, code)
        return None, [Finding("it imports", "broken", f"{failed['words'].rstrip('.')} ({failed['place']})")]
    took = time.monotonic() - began
    found = _fast(took, sorted(set(contract.HEAVY) & (sys.modules.keys() - before)))
    try:
        declared_options(module.Options)
    except (TypeError, ValueError) as error:
        return None, [found, Finding("options are described", "broken", str(error))]
    return module, [found]


def _fast(took: float, heavy: list[str]) -> Finding:
    claim = "it imports fast"
    if heavy:
        return Finding(claim, "broken", f"move the import of {', '.join(heavy)} into train")
    if took > SLOWEST_IMPORT_S:
        return Finding(claim, "broken", f"importing it took {took:.1f} seconds")
    return Finding(claim, "kept", f"{took:.2f} seconds, and nothing heavy")


def _tried(trials: Trials, opened: claims.Opened) -> Iterator[Finding]:
    yield from option_claims.options_are_described(trials)
    baseline = trials.shared()
    if baseline.error is not None or baseline.result is None:
        yield Finding("it trains", "broken", trials.told(baseline.error))
        return
    yield Finding("it trains", "kept", f"{len(baseline.steps)} steps on the sample data")
    yield claims.progress_rises(baseline)
    yield claims.what_is_reported_is_finite(baseline)
    yield claims.weights_change(baseline, opened)
    yield option_claims.nothing_undeclared_is_read(trials, baseline)
    for option in trials.options:
        yield option_claims.option_is_honoured(trials, option)
    yield claims.same_seed_same_weights(trials, baseline)
    yield claims.cancel_stops_it(trials)
    yield from claims.resume_continues(trials, baseline)


def _stays_in_its_folder(touched: Touched, folder: Path) -> Finding:
    claim = "nothing is written outside the run's folder"
    if outside := touched.written_outside(folder):
        return Finding(claim, "broken", f"Python wrote to {few(outside)}")
    return Finding(claim, "kept", "as far as Python sees; what libraries write by themselves is not seen")


def _uses_no_network(touched: Touched) -> Finding:
    claim = "no network is used"
    if touched.connected:
        return Finding(claim, "broken", f"Python connected to {few(sorted(touched.connected))}")
    return Finding(claim, "kept", "as far as Python sees; what libraries do by themselves is not seen")
