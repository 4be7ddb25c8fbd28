"""What a scan says of codes, kept by the server: use, contexts, relations, pairs."""

from __future__ import annotations

import streamlit as st

from workbench import core, features

from . import state


def _source(scan: features.FeatureScan) -> str:
    return f"{state.workspace().path} {scan.manifest.content_hash}"


@st.cache_resource(max_entries=24, show_spinner="Counting codes …")
def _use(made_from: str, member: str, _bench: features.Bench, _scan: features.FeatureScan) -> core.Result:
    return features.code_use(_bench.model, _bench.dictionaries, _scan, member)


def use(member: str, found: features.Bench, scan: features.FeatureScan) -> core.Result:
    """Every used code of a member, and its dead codes group by group."""
    return _use(_source(scan), member, found, scan)


@st.cache_resource(max_entries=48, show_spinner="Looking around the code …")
def _contexts(made_from: str, unit: str, _bench: features.Bench, _scan: features.FeatureScan) -> core.Result:
    return features.code_contexts(_bench.model, _scan, core.Unit.parse(unit))


def contexts(unit: core.Unit, found: features.Bench, scan: features.FeatureScan) -> core.Result:
    """The tokens before, at and after a code's places, and where in a sequence it stands."""
    return _contexts(_source(scan), str(unit), found, scan)


@st.cache_resource(max_entries=48, show_spinner="Reading the codes around it …")
def _relations(made_from: str, unit: str, _bench: features.Bench, _scan: features.FeatureScan) -> core.Result:
    return features.scanned_relations(_bench.model, _bench.dictionaries, _scan, [core.Unit.parse(unit)])


def relations(unit: core.Unit, found: features.Bench, scan: features.FeatureScan) -> core.Result:
    """The codes that go with a code, before it and after it."""
    return _relations(_source(scan), str(unit), found, scan)


@st.cache_resource(max_entries=24, show_spinner="Searching the scanned text …")
def _expression(made_from: str, pattern: str, _bench: features.Bench, _scan: features.FeatureScan) -> core.Result:
    # every code: the one that is looked at need not be among the best
    most = sum(_scan.members.values())
    return features.search_pattern(_bench, _scan, pattern, features.SearchConfig(rows=most, least_count=1))


def expression(pattern: str, found: features.Bench, scan: features.FeatureScan) -> core.Result:
    """Precision and recall of every code for the tokens that an expression marks."""
    return _expression(_source(scan), pattern, found, scan)


@st.cache_resource(max_entries=12, show_spinner="Counting pairs …")
def _lift(
    made_from: str, first: str, second: str, size: int, _bench: features.Bench, _scan: features.FeatureScan
) -> core.Result:
    return features.code_lift(_bench.model, _bench.dictionaries, _scan, first, second, size)


def lift(first: str, second: str, size: int, found: features.Bench, scan: features.FeatureScan) -> core.Result:
    """Which of the most used codes of two members go together more often than by chance."""
    return _lift(_source(scan), first, second, size, found, scan)
