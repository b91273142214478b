"""Synthetic, labelled faces, to try everything without data.

`write_demo_faces` draws a data set into a workspace; `tuning.write_demo_faces` is the same function.
"""

from demo_faces.writing import DemoFaces, choose_classes, write_demo_faces

__all__ = ["DemoFaces", "choose_classes", "write_demo_faces"]
