"""Search spaces: each one is a file with a tunable model-builder function, and a row here."""

#: Name -> "module:function"; imported only when a model is built, so that listing the names needs no Keras.
SPACES = {
    "baseline_cnn": "search_spaces.baseline_cnn:build_model",
    "fine_tune": "search_spaces.fine_tune:build_model",
}
