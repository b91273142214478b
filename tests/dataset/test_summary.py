from __future__ import annotations

from dataclasses import replace

from tuning.dataset.splitting.duplicates import imbalance
from tuning.dataset.splitting.leakage import Leakage
from tuning.dataset.splitting.names import Named
from tuning.dataset.summary import PoolSummary, read_summary, write_summary

SUMMARY = PoolSummary(
    source="class folders",
    raw="faces",
    counts={
        "happy": {"train": 50, "val": 5, "test": 5},
        "sad": {"train": 20, "val": 4, "test": 9},
        "calm": {"train": 9, "val": 8, "test": 1},
    },
    rejected=(),
    ignored={},
    copy_sets=0,
    redundant=0,
    conflicts=(),
    imbalance=imbalance({"happy": 60, "sad": 33, "calm": 18}),
    notes=(),
    leakage=Leakage(15, 0, 0, named=Named(r"(?:^|/)([A-Z]+)_", 7, 15, 4, "ANN")),
)


def test_a_class_with_too_few_images_to_choose_or_to_judge_by_is_warned_about():
    (words,) = SUMMARY.small_classes
    assert "sad (4 validation, 9 test), calm (8 validation, 1 test)" in words
    assert "happy" not in words
    assert words in SUMMARY.text()
    assert replace(SUMMARY, counts={"happy": SUMMARY.counts["happy"]}).small_classes == []


def test_what_names_suggest_is_kept_and_told(tmp_path):
    write_summary(tmp_path / "summary.json", SUMMARY)
    assert read_summary(tmp_path / "summary.json") == SUMMARY
    assert "Persons: not checked (4 of 15 test images share a name's prefix with training)." in SUMMARY.text()
    assert "--group-by '(?:^|/)([A-Z]+)_'" in SUMMARY.who[0]
    assert replace(SUMMARY, leakage=None).who == []
