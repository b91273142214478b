from __future__ import annotations

import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure

from tuning.results import plots


def curves(epochs: int) -> dict[str, list]:
    steps = np.arange(1, epochs + 1)
    return {
        "epoch": steps.tolist(),
        "loss": (1 / steps).tolist(),
        "val_loss": (1.5 / steps).tolist(),
        "accuracy": (1 - 0.9 / steps).tolist(),
        "val_accuracy": (0.8 - 0.6 / steps).tolist(),
        "val_f1_macro": (0.7 - 0.6 / steps).tolist(),
    }


def texts(axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def names(classes: int) -> list[str]:
    return [f"a long name for the class number {index}" for index in range(classes)]


@pytest.mark.parametrize("epochs", [1, 30, 200])
def test_learning_curves_show_every_epoch_and_mark_the_best(epochs):
    history = curves(epochs)
    figure = plots.accuracy_figure(history, epochs, "a run")
    axes = figure.axes[0]
    lines = {line.get_label(): line for line in axes.get_lines()}
    assert list(lines["validation macro-F1"].get_ydata()) == history["val_f1_macro"]
    assert len(lines["training accuracy"].get_xdata()) == epochs
    assert f"epoch {epochs} published: macro-F1 {history['val_f1_macro'][-1]:.3f}" in texts(axes)
    low, high = axes.get_ylim()
    assert low >= 0 and high <= 1
    assert f"epoch {epochs} published: loss {history['val_loss'][-1]:.3f}" in texts(
        plots.loss_figure(history, epochs, "a run").axes[0]
    )


def test_a_figure_that_was_not_finite_is_a_gap():
    history = curves(5)
    history["val_loss"][2] = None
    axes = plots.loss_figure(history, 3, "a run").axes[0]
    line = next(line for line in axes.get_lines() if line.get_label() == "validation loss")
    assert np.isnan(line.get_ydata()[2])
    assert "epoch 3 published" in texts(axes)


@pytest.mark.parametrize("classes", [2, 7, 12])
def test_every_cell_has_its_number_in_a_colour_that_stands_out(classes):
    confusion = np.arange(classes * classes).reshape(classes, classes) * 37
    axes = plots.confusion_figure(confusion, names(classes), "a run").axes[0]
    assert texts(axes) == [str(value) for value in confusion.ravel()]
    colours = {text.get_text(): text.get_color() for text in axes.texts}
    assert colours["0"] == "black"
    assert colours[str(confusion.max())] == "white"


def test_text_and_ground_always_differ_enough():
    """At least the 4.5 : 1 of WCAG 2 level AA, for every shade of the colour map."""
    for colour in plots.colormaps["Blues"](np.linspace(0, 1, 256)):
        ground = plots._luminance(colour)
        text = 0.0 if ground > plots.EVEN_LUMINANCE else 1.0
        light, dark = max(ground, text), min(ground, text)
        assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_normalised_rows_are_shares_and_an_empty_class_is_no_zero():
    confusion = np.array([[3, 1, 0], [0, 0, 0], [1, 1, 2]])
    figure = plots.confusion_figure(confusion, ["a", "b", "c"], "a run", normalised=True)
    assert texts(figure.axes[0]) == ["0.75", "0.25", "0.00", "–", "–", "–", "0.25", "0.25", "0.50"]


def test_long_names_keep_both_ends_and_dollars_are_no_formula():
    axes = plots.confusion_figure(np.eye(2, dtype=int), [*names(1), "$x$"], "run $1$").axes[0]
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels == ["a long name…ss number 0", "$x$"]
    assert not axes.get_xticklabels()[1].get_parse_math()


def test_too_many_classes_for_numbers_show_colours_alone():
    figure = plots.confusion_figure(np.eye(60, dtype=int), names(60), "a run")
    assert texts(figure.axes[0]) == []


@pytest.mark.parametrize("classes", [2, 12])
def test_nothing_is_cut_off_at_the_edges(classes, tmp_path):
    confusion = np.full((classes, classes), 12_345)
    figure = plots.confusion_figure(confusion, names(classes), "a run", "test accuracy 0.5")
    plots.save(figure, tmp_path / "matrix.png")
    pixels = matplotlib.image.imread(tmp_path / "matrix.png")[..., :3]
    for edge in (pixels[:5], pixels[-5:], pixels[:, :5], pixels[:, -5:]):
        assert (edge == 1).all()


@pytest.mark.filterwarnings("error")
def test_letters_that_the_font_lacks_come_from_others_and_are_no_warning(tmp_path, monkeypatch):
    def saved(name: str, *fonts: str) -> bytes:
        monkeypatch.setattr(plots, "FURTHER_FONTS", fonts)
        figure = plots.confusion_figure(np.eye(2, dtype=int), [name, "happy"], "a run")
        plots.save(figure, tmp_path / "matrix.png")
        return (tmp_path / "matrix.png").read_bytes()

    lacking = "\u1d84\u1d84"
    assert saved(lacking) == saved(lacking, "no such font")
    assert saved(lacking) != saved(lacking, "STIXGeneral")
    assert saved("sad") == saved("sad", "STIXGeneral")


def test_saving_twice_gives_the_same_file(tmp_path):
    for name in ("one.png", "two.png"):
        plots.save(plots.accuracy_figure(curves(3), 2, "a run"), tmp_path / name)
    data = (tmp_path / "one.png").read_bytes()
    assert data == (tmp_path / "two.png").read_bytes()
    assert b"Software" not in data and b"tEXt" not in data
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.png", "two.png"]


def test_a_run_has_four_pictures(run_metrics):
    metrics = run_metrics("a run", best_epoch=2, classes=["a", "b"])
    figures = plots.run_figures(metrics, curves(3))
    assert list(figures) == ["accuracy.png", "loss.png", "confusion_matrix_raw.png", "confusion_matrix_norm.png"]
    assert all(isinstance(figure, Figure) for figure in figures.values())
    caption = figures["confusion_matrix_raw.png"].get_suptitle().replace("\N{NO-BREAK SPACE}", " ")
    assert "a run" in caption and "accuracy 0.550" in caption and "0.500" in caption and "4 images" in caption
    assert texts(figures["accuracy.png"].axes[0]) == ["epoch 2 published: macro-F1 0.400"]


def test_an_ensemble_has_curves_of_its_members_and_no_best_epoch(run_metrics):
    figures = plots.run_figures(run_metrics("all", kind="ensemble", trial=None, rank=None, best_epoch=2), curves(3))
    for name in ("accuracy.png", "loss.png"):
        axes = figures[name].axes[0]
        assert texts(axes) == [] and all(line.get_marker() != "*" for line in axes.get_lines())
        assert figures[name].get_suptitle() == "all: mean of its members' curves"
    assert figures["confusion_matrix_raw.png"].get_suptitle().startswith("all\n")
