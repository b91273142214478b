"""Short names of runs: two words derived from the run's id, to type instead of the long id. Pure.

A run has the same words in every workspace. If two runs of a workspace would share a name, both get more words.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable

ADJECTIVES = """
able agile amber ample apt arctic azure bold brave brief bright brisk broad bronze calm candid cheery clean clear clever
close cosy crisp dapper daring deep eager early easy even fair famed fast fine firm fleet fond frank free fresh
gentle glad gold good grand great green happy hardy high honest humble icy indigo ivory jade jolly keen kind large late
lilac light lime lively long loud loyal lucid lucky lunar magic major mellow merry mild misty modest narrow neat new
nimble noble novel open pale placid plain polar polite prime proud pure quick quiet rapid rare ready red regal
rosy round royal ruby rustic sage sandy scarlet sharp shiny silent silver simple sleek slim smart smooth snowy soft
solar solid spry stable steady still stout strong subtle sunny sure swift tall tame teal tender tidy true upbeat vast
vivid warm wide wild wise witty young zesty
""".split()  # noqa: SIM905 (a table to be read)

NOUNS = """
acorn alder apple arch aspen aster badger bamboo basil bay beach bear beaver beech berry birch bird bison brook canyon
cedar cherry cliff cloud clover cobra comet coral cove crane creek daisy dale deer delta dune eagle elder elk elm ember
falcon fern finch fir fjord flint forest fox frost garden gecko geyser glade goose grove gull harbor hare hawk hazel
heath heron hill holly ibis iris island ivy jay kestrel koala lagoon lake larch lark laurel leaf lemur lily linden lion
lotus lynx magpie maple marsh marten meadow mint moon moose moss newt oak oasis ocean olive orchid oriole osprey otter
owl palm panda peach peak pebble pine plover pond poplar poppy puffin quail quartz rain raven reed reef ridge river
robin rose rowan salmon seal shore sky snow spruce squid star stone stork storm swan thistle tiger trout tulip valley
violet wave willow wolf wren yak zebra
""".split()  # noqa: SIM905 (a table to be read)

#: Fewest and most words of a name.
_FEWEST, _MOST = 2, 6


def alias(run_id: str, words: int = _FEWEST) -> str:
    """Returns a name of `words` words, joined by dashes, that is derived from the run's id."""
    digest = hashlib.sha256(run_id.encode()).digest()
    numbers = [int.from_bytes(digest[4 * place : 4 * place + 4], "big") for place in range(words)]
    first, *rest = numbers
    return "-".join([ADJECTIVES[first % len(ADJECTIVES)], *(NOUNS[number % len(NOUNS)] for number in rest)])


def aliases(run_ids: Iterable[str]) -> dict[str, str]:
    """Returns the short names of a workspace's runs, by run id; names are unique unless even six words are equal."""
    found, open_ids = {}, set(run_ids)
    for words in range(_FEWEST, _MOST):
        names = {run_id: alias(run_id, words) for run_id in open_ids}
        counts = Counter(names.values())
        alone = {run_id: name for run_id, name in names.items() if counts[name] == 1}
        found.update(alone)
        open_ids -= alone.keys()
    return {**found, **{run_id: alias(run_id, _MOST) for run_id in open_ids}}


def meant(name: str, run_ids: Iterable[str]) -> list[str]:
    """Returns the ids that `name` can stand for: the run with this id, else all runs with this short name.

    A short name may have more words than needed: every length from `_FEWEST` to `_MOST` is accepted.
    """
    known = list(run_ids)
    if name in known:
        return [name]
    words = name.count("-") + 1
    if not _FEWEST <= words <= _MOST:
        return []
    return sorted(run_id for run_id in known if alias(run_id, words) == name)
