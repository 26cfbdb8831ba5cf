"""The step `validate`: what a corpus must satisfy before anything is trained on it, as Great Expectations suites.

Every expectation has a name of ours, which the error and the report use. A broken one raises ValidationFailed with the
expectation, the column and example rows; the report is written either way.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from danqing import config as settings
from danqing import files, taxonomy
from danqing.data import corpus as corpora
from danqing.errors import ValidationFailed
from danqing.monitor import Monitor
from danqing.platform.validation_page import Finding, page

EXAMPLES = 5
_HAN = r"[\u4e00-\u9fff]"


def validate(corpus: Path, *, out: Path, config: settings.Validate, monitor: Monitor, scratch: Path) -> dict[str, Any]:
    """Write report.html, validation.json and metrics.json into `out`. Raises ValidationFailed on a broken corpus."""
    from danqing.platform import corpus_tables as tables

    shape = {"columns": tables.columns(corpus)}
    findings = check(shape, config)
    data: dict[str, Any] = {}
    if all(finding.passed for finding in findings):  # of a corpus without its columns nothing else can be asked
        frame = tables.pictures(corpus, config, monitor)
        data = {"pictures": frame, "splits": tables.splits(frame, config), "themes": tables.themes(frame)}
        agreed = tables.agreed(corpus)
        if agreed is not None:
            data["agreement"] = agreed
        findings += check(data, config)
    broken = [finding for finding in findings if not finding.passed]
    metrics = {"expectations": len(findings), "broken": len(broken), "pictures": len(data.get("pictures", ()))}
    files.write_text(out / "report.html", page(findings, data))
    files.write_json(out / "validation.json", [finding.as_dict() for finding in findings])
    files.write_json(out / "metrics.json", metrics)
    monitor.progress(1, 1, f"{len(findings) - len(broken)} of {len(findings)} expectations hold")
    if broken:
        more = f"; also broken: {', '.join(f.name for f in broken[1:])}" if len(broken) > 1 else ""
        raise ValidationFailed(f"the corpus breaks {broken[0].sentence()}{more}; see report.html")
    return metrics


def suites(config: settings.Validate) -> dict[str, list[Any]]:
    """Table (`danqing.platform.corpus_tables`) → its expectations. Each has `meta` with our name and its reason."""
    import great_expectations.expectations as gx

    def named(kind: Any, name: str, why: str, **arguments: Any) -> Any:
        return kind(meta={"name": name, "why": why}, **arguments)

    isin, matches, between = (
        gx.ExpectColumnValuesToBeInSet, gx.ExpectColumnValuesToMatchRegex, gx.ExpectColumnValuesToBeBetween,
    )  # fmt: skip
    unique, equal = gx.ExpectColumnValuesToBeUnique, gx.ExpectColumnPairValuesToBeEqual
    return {
        "columns": [
            named(equal, "columns_complete", "the corpus has the columns that every step relies on, in order",
                  column_A="place", column_B="wanted_place"),
            named(equal, "columns_typed", "each column has its type",
                  column_A="kind", column_B="wanted_kind"),
        ],
        "pictures": [
            named(gx.ExpectTableRowCountToBeBetween, "enough_pictures", "fewer are no corpus",
                  min_value=config.min_pictures),
            named(unique, "ids_unique", "an id names one picture", column="id"),
            named(matches, "ids_present", "a picture without an id cannot be traced", column="id", regex=r"\S"),
            named(unique, "files_unique", "a file stands in the corpus once", column="sha256"),
            named(matches, "files_hashed", "the hash proves which file it was",
                  column="sha256", regex="^[0-9a-f]{64}$"),
            named(matches, "looks_hashed", "look-alikes are found by this hash",
                  column="phash", regex="^[0-9a-f]{16}$"),
            named(matches, "source_present", "every picture says where it comes from", column="source", regex=r"\S"),
            named(matches, "source_id_present", "… and which one it is there", column="source_id", regex=r"\S"),
            named(matches, "licence_present", "a picture without a licence may not be used",
                  column="licence", regex=r"\S"),
            named(isin, "licence_allowed", "only these licences allow training and showing; more in validate.licences",
                  column="licence", value_set=list(config.licences)),
            named(matches, "group_present", "splits are made by group", column="group", regex=r"\S"),
            named(isin, "theme_known", "themes come from the taxonomy",
                  column="theme", value_set=list(taxonomy.THEMES)),
            named(isin, "category_known", "categories come from the taxonomy",
                  column="category", value_set=list(taxonomy.CATEGORIES)),
            named(isin, "content_known", "contents come from the taxonomy",
                  column="content", value_set=list(taxonomy.CONTENTS)),
            named(isin, "technique_known", "techniques come from the taxonomy",
                  column="technique", value_set=list(taxonomy.TECHNIQUES)),
            named(isin, "split_known", "every picture stands in one split",
                  column="split", value_set=list(corpora.SPLITS)),
            named(isin, "groups_apart", "works that stand in two splits make the test too easy",
                  column="group_splits", value_set=[1]),
            named(isin, "look_alikes_apart", "look-alikes in two splits make the test too easy",
                  column="look_alike", value_set=[""]),
            named(isin, "pictures_decode", "a training step must not meet a broken picture",
                  column="decodes", value_set=[""]),
            named(equal, "pictures_sized", "a picture has the size that its row states",
                  column_A="decoded_size", column_B="stated_size"),
            named(gx.ExpectColumnUniqueValueCountToBeBetween, "one_size", "all pictures have one size",
                  column="decoded_size", min_value=1, max_value=1),
            named(equal, "pictures_square", "the model's pictures are square", column_A="width", column_B="height"),
            named(between, "caption_length", "captions are one short sentence, never empty",
                  column="caption_words", min_value=1, max_value=config.max_words),
            named(isin, "caption_names_category", "most captions say how it is painted, the paper's first part",
                  column="names_category", value_set=[True], mostly=config.named),
            named(matches, "caption_chinese", "every picture has a Chinese caption", column="caption_zh", regex=_HAN),
            named(isin, "caption_origin_known", "a caption says what it was made from",
                  column="caption_origin", value_set=["truth", "metadata", "measured"]),
        ],
        "splits": [
            named(between, "split_shares", "8:1:1 over the corpus, and in each theme within sampling error",
                  column="off", min_value=0, max_value=0),
        ],
        "themes": [
            named(between, "themes_balanced", "one theme alone teaches no difference; raise validate.max_theme_share "
                  "for a corpus that is meant so", column="share", max_value=config.max_theme_share),
        ],
        "agreement": [
            named(gx.ExpectColumnValuesToNotBeNull, "labels_comparable",
                  "kappa needs two or more annotators and two or more labels", column="kappa"),
            named(between, "annotators_agree", "Fleiss' kappa, the paper's bar",
                  column="kappa", min_value=config.min_kappa),
        ],
    }  # fmt: skip


def check(tables: Mapping[str, Any], config: settings.Validate) -> list[Finding]:
    """Validate each table with its suite; findings in the suites' order."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    source = context.data_sources.add_pandas("corpus")
    findings = []
    for name, expectations in suites(config).items():
        if name not in tables:
            continue
        asset = source.add_dataframe_asset(name)
        batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": tables[name]})
        suite = gx.ExpectationSuite(name=name, expectations=expectations)
        results = batch.validate(
            suite, result_format={"result_format": "COMPLETE", "unexpected_index_column_names": ["id"]}
        ).results
        order = {expectation.meta["name"]: place for place, expectation in enumerate(expectations)}
        found = [_finding(name, result) for result in results]
        findings += sorted(found, key=lambda finding: order[finding.name])
    return findings


def _finding(table: str, validation: Any) -> Finding:
    expectation, result = validation.expectation_config, validation.result or {}
    arguments = expectation.kwargs
    columns = [arguments[k] for k in ("column", "column_A", "column_B") if k in arguments]
    problem = validation.exception_info or {}
    raised = problem.get("raised_exception") or any(
        isinstance(p, Mapping) and p.get("raised_exception") for p in problem.values()
    )
    rows = result.get("unexpected_index_list") or []
    return Finding(
        name=expectation.meta["name"],
        why=expectation.meta["why"],
        table=table,
        column=" and ".join(columns) or "rows",
        kind=expectation.type,
        passed=bool(validation.success),
        checked=int(result.get("element_count") or 0),
        unexpected=int(result.get("unexpected_count") or 0),
        observed=_observed(result, raised),
        examples=tuple(_example(row, columns) for row in rows[:EXAMPLES]),
    )


def _observed(result: Mapping[str, Any], raised: bool) -> str:
    if raised:
        return "could not be checked"
    value = result.get("observed_value")
    return "" if value is None else str(value)


def _example(row: Mapping[str, Any], columns: list[str]) -> str:
    plain = {name: getattr(value, "item", lambda value=value: value)() for name, value in row.items()}  # no np.int64(2)
    values = ", ".join(f"{plain[column]!r}" for column in columns if column in plain and column != "id")
    return f"{plain.get('id')}: {values}" if values else str(plain.get("id"))
