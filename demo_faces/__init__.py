"""Synthetic, labelled faces for trying everything without data; a package of its own, that only the demo needs.

`write_demo_faces` draws a data set into a workspace; `tuning.write_demo_faces` is the same function.
"""

from demo_faces.writing import DemoFaces, choose_classes, write_demo_faces

__all__ = ["DemoFaces", "choose_classes", "write_demo_faces"]
