from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tuning.core.errors import DataError
from tuning.dataset.sources.samples import Sample, clean_label


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("Happy", "happy"),
        (" happy ", "happy"),
        ("HAPPY", "happy"),
        ("very  happy\tface", "very_happy_face"),
        (unicodedata.normalize("NFD", "Überrascht"), "überrascht"),
        ("喜び", "喜び"),
        ("0", "0"),
        ("v1.5", "v1.5"),
    ],
)
def test_names_become_labels(name, label):
    assert clean_label(name, "here") == label


@pytest.mark.parametrize(
    "name", ["", "   ", "a/b", "a\\b", "..", ".hidden", "dot.", "a:b", "a\0b", "a\u202eb", "CON", "nul.txt", "x" * 65]
)
def test_names_that_cannot_be_folders_are_refused_with_their_place(name):
    with pytest.raises(DataError, match=r"data\.yaml: the class name") as caught:
        clean_label(name, "data.yaml")
    assert caught.value.remedy


@given(st.text(max_size=30))
def test_a_label_is_its_own_label(name):
    try:
        label = clean_label(name, "here")
    except DataError:
        return
    assert clean_label(label, "here") == label
    assert label == unicodedata.normalize("NFC", label)
    assert not set("/\\ \n\0") & set(label)


def test_a_sample_is_named_by_its_file_and_line():
    assert Sample("a/b.png", "happy").name == "a/b.png"
    assert Sample("a/b.png", "happy", 2).name == "a/b.png#2"
