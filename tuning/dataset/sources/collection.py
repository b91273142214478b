"""Combines everything given as raw data, several folders, archives and tables, under one set of labels."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tuning.core import files
from tuning.core.errors import DataError
from tuning.core.progress import Progress
from tuning.core.workspace import Workspace
from tuning.dataset.sources import aliases, archives, inventory
from tuning.dataset.sources import detect as sources
from tuning.dataset.sources.inventory import RawTree, suffix
from tuning.dataset.sources.samples import Ignored, Item, Listing, Rejected


@dataclass(frozen=True)
class Part:
    """One raw folder, table or archive.

    Attributes:
        name: the first component of its samples' sources if there are several parts; "" for a single one.
        given: the path that was given.
        states: path relative to `given` -> (size in bytes, mtime in ns) of every file; "" stands for an archive itself.
        tree: the files there (for an archive, in the folder that it was unpacked to).
        kind: a key of `sources.SOURCES`.
        prefix: the folder in `tree` that holds the data set.
        listing: its samples.
    """

    name: str
    given: Path
    states: dict[str, tuple[int, int]]
    tree: RawTree
    kind: str
    prefix: str
    listing: Listing

    @property
    def title(self) -> str:
        return sources.SOURCES[self.kind].title

    def outside(self) -> Iterator[Item]:
        """Yields the files beside the folder of the data set: images as rejected, others as ignored."""
        start = f"{self.prefix}/" if self.prefix else ""
        for path in self.tree.files:
            if not path.startswith(start):
                kind = Rejected if path in self.tree.images else Ignored
                yield kind(path, f"lies outside the data set in {start}")


@dataclass(frozen=True)
class Collection:
    """All parts as one data set; `aliases` maps labels as found to the labels to use."""

    parts: tuple[Part, ...]
    aliases: Mapping[str, str]

    @property
    def title(self) -> str:
        return " and ".join(dict.fromkeys(part.title for part in self.parts))

    @property
    def raw(self) -> str:
        return ", ".join(str(part.given) for part in self.parts)

    @property
    def total(self) -> int | None:
        totals = [part.listing.total for part in self.parts]
        return None if None in totals else sum(filter(None, totals))

    @property
    def states(self) -> list[tuple[str, str, int, int]]:
        """(given path, relative path, size in bytes, mtime in ns) of every raw file."""
        return [(str(part.given), path, *state) for part in self.parts for path, state in part.states.items()]

    @property
    def classes(self) -> dict[str, str]:
        """Label -> where it is declared."""
        found: dict[str, str] = {}
        for part in self.parts:
            for label, where in part.listing.classes.items():
                found.setdefault(self.label(label), f"{part.name}/{where}" if part.name else where)
        return found

    @property
    def required(self) -> dict[str, str]:
        """The classes of `classes` that must not be empty: an empty class folder is a mistake."""
        wanted = {self.label(label) for p in self.parts if p.listing.empty_is_error for label in p.listing.classes}
        return {label: where for label, where in self.classes.items() if label in wanted}

    @property
    def notes(self) -> tuple[str, ...]:
        notes = [note for part in self.parts for note in part.listing.notes]
        renamed: dict[str, list[str]] = {}
        for label in {label for part in self.parts for label in part.listing.classes} & self.aliases.keys():
            renamed.setdefault(self.aliases[label], []).append(label)
        notes += [f"Renamed: {', '.join(sorted(names))} → {label}." for label, names in sorted(renamed.items())]
        known = {label for part in self.parts for label in part.listing.classes}
        for name in sorted(self.aliases.keys() - known - aliases.EMOTIONS.keys()):
            notes.append(f"No class is called {name}: --aliases {name}={self.aliases[name]} changes nothing.")
        advice = aliases.suggestion(self.classes, self.aliases)
        return (*notes, *([advice] if advice else []))

    def label(self, found: str) -> str:
        return self.aliases.get(found, found)

    def items(self) -> Iterator[Item]:
        """Yields the items of all parts, in the order given, with the sources and labels of the collection."""
        for part in self.parts:
            for item in itertools.chain(part.tree.refused, part.tree.skipped, part.outside(), part.listing.items):
                if part.name:
                    item = replace(item, source=f"{part.name}/{item.source}")
                if not isinstance(item, Ignored) and item.label is not None and item.label in self.aliases:
                    item = replace(item, label=self.aliases[item.label])
                yield item

    def locate(self, source: str) -> str:
        """Returns the path of the file that a sample's source names."""
        part, path = self._part(source)
        return f"{part.tree.root}/{path}"

    def size(self, source: str) -> int:
        """Returns the size in bytes of the file that a sample's source names."""
        part, path = self._part(source)
        return part.tree.files[path][0]

    def digests(self, read: Mapping[str, str]) -> dict[Path, dict[str, str]]:
        """Returns given path -> relative path -> sha256 of the file; "" if it cannot be read.

        Args:
            read: source of a sample -> sha256, for files whose sha256 is known already.
        """
        found = {}
        for part in self.parts:
            given, start = part.given, f"{part.name}/" if part.name else ""
            # For an archive, `read` is about the files in it, but what is wanted is the sha256 of the archive itself.
            own = read if part.tree.root == given else {}
            found[given] = {
                path: own.get(start + path) or files.sha256_or_nothing(given if given.is_file() else given / path)
                for path in part.states
            }
        return found

    def _part(self, source: str) -> tuple[Part, str]:
        if not self.parts[0].name:
            return self.parts[0], source
        name, _, rest = source.partition("/")
        return next(part for part in self.parts if part.name == name), rest


def gather(
    workspace: Workspace, raws: Sequence[Path], crop: str, renamed: Mapping[str, str], progress: Progress
) -> Collection:
    """Lists the content of all raw paths; unpacks archives.

    Raises:
        DataError: a path holds no data set, or several; names it.
    """
    names = part_names(raws)
    parts = []
    for name, given in zip(names, raws, strict=True):
        states, tree, notes = _tree(workspace, given, progress)
        kind, prefix = sources.find(tree, _above(workspace, given) if tree.root == given else None)
        listing = sources.SOURCES[kind].list_samples(tree, prefix, crop)
        listing = replace(listing, notes=(*notes, *listing.notes))
        part = Part(name, given, states, tree, kind, prefix, listing)
        progress.say(f"{given}: {part.title} found{f' in {prefix}/' if prefix else ''}")
        parts.append(part)
    archives.remove_earlier({part.tree.root for part in parts if part.tree.root.parent == workspace.unpacked})
    return Collection(tuple(parts), renamed)


def _above(workspace: Workspace, given: Path) -> Path | None:
    """Returns the folder that holds `given`; None if it holds the pool, so that it cannot be a raw folder itself."""
    above = given.resolve().parent
    return None if workspace.pool.resolve().is_relative_to(above) else above


def _tree(
    workspace: Workspace, given: Path, progress: Progress
) -> tuple[dict[str, tuple[int, int]], RawTree, tuple[str, ...]]:
    """Lists a folder, a table, an archive, or the only archive in a folder.

    Returns:
        (states of the files in `given`, tree of the files to read, notes).

    Raises:
        DataError: there are several archives, one inside another, or one of a kind that is not supported.
    """
    if archives.is_archive(given):
        state = given.stat()
        return {"": (state.st_size, state.st_mtime_ns)}, *_unpacked(workspace, given, progress)
    tree = inventory.take(given)
    if given.is_file() and (tree.images or suffix(given.name) in (".yaml", ".yml")):
        raise DataError(
            f"--raw {given} is one file of a data set", f"give --raw {given.absolute().parent}, or the folder above it"
        )
    if tree.images or any(suffix(path) in (".csv", ".tsv") for path in tree.files):
        return tree.files, tree, ()
    packed = [tree.root / path for path in tree.files if archives.is_archive(tree.root / path)]
    if len(packed) > 1:
        raise DataError(
            f"{given} holds {len(packed)} archives and no image", "give --raw those you mean, one after the other"
        )
    if packed:
        return tree.files, *_unpacked(workspace, packed[0], progress)
    archives.refuse_foreign(tree.root, tree.files)
    return tree.files, tree, ()


def _unpacked(workspace: Workspace, archive: Path, progress: Progress) -> tuple[RawTree, tuple[str, ...]]:
    folder, notes = archives.unpack(workspace, archive, progress)
    tree = inventory.take(folder)
    inner = next((path for path in tree.files if archives.is_archive(tree.root / path)), None)
    if inner and not tree.images and not any(suffix(path) in (".csv", ".tsv") for path in tree.files):
        raise DataError(
            f"{archive} holds another archive, {inner}, and no image; an archive in an archive is not unpacked",
            "unpack the outer one yourself, and give --raw the folder or the inner archive",
        )
    if not tree.images:
        archives.refuse_foreign(archive, tree.files)
    return tree, notes


def part_names(raws: Sequence[Path]) -> list[str]:
    """Returns a unique name for each of several parts: its file or folder name, numbered if necessary."""
    if len(raws) == 1:
        return [""]
    names: list[str] = []
    for raw in raws:
        base = raw.resolve().name.split(".")[0] or "raw"
        number = 2
        name = base
        while name in names:
            name, number = f"{base}~{number}", number + 1
        names.append(name)
    return names
