"""Prints what a shell needs to complete these commands, their options and the values of those.

  source <(python -m tuning.completion bash)                # now; to keep it, put that line into ~/.bashrc
  source <(python -m tuning.completion zsh)                 # ~/.zshrc, after compinit
  python -m tuning.completion fish | source                 # ~/.config/fish/config.fish

Then `python -m tuning.<TAB>`, `python -m tuning.search --strategy <TAB>` or `python -m tuning.export --search <TAB>`
offer what there is: commands, options, strategies, search spaces, the searches and runs of the workspace in --root. It
works for every way to write the Python that has this package: python, python3, .venv/bin/python. Whatever else you do
with Python is completed as before.

reads   nothing
writes  nothing but its output
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from tuning import cli
from tuning.core.workspace import Workspace

#: Names of the interpreter that the shells listen to.
PYTHONS = ("python", "python3", "python3.11", "python3.12", "python3.13")

# argcomplete looks at the line that is being typed, in the command's own process; the word after `-m` is the third, and
# its answer comes on file descriptor 8.
BASH = r"""
_tuning_other=$(complete -p python 2>/dev/null | sed -n 's/.* -F \([^ ]*\) .*/\1/p')
if [[ -z $_tuning_other ]]; then
    if declare -F _comp_load >/dev/null; then _comp_load python 2>/dev/null
    elif declare -F _completion_loader >/dev/null; then _completion_loader python 2>/dev/null
    fi
    _tuning_other=$(complete -p python 2>/dev/null | sed -n 's/.* -F \([^ ]*\) .*/\1/p')
fi
[[ $_tuning_other == _tuning_python ]] && _tuning_other=
_tuning_python() {
    local IFS=$'\013'
    if [[ ${COMP_WORDS[1]} == -m && $COMP_CWORD == 2 && ${COMP_WORDS[2]} == t* ]]; then
        IFS=' '
        COMPREPLY=($(compgen -W "@COMMANDS@" -- "${COMP_WORDS[2]}"))
    elif [[ ${COMP_WORDS[1]} == -m && ${COMP_WORDS[2]} == tuning.* ]]; then
        compopt -o nospace
        COMPREPLY=($(COMP_LINE="$COMP_LINE" COMP_POINT="$COMP_POINT" COMP_TYPE="$COMP_TYPE" \
            _ARGCOMPLETE=3 _ARGCOMPLETE_SHELL=bash _ARGCOMPLETE_IFS="$IFS" \
            _ARGCOMPLETE_COMP_WORDBREAKS="$COMP_WORDBREAKS" \
            "${COMP_WORDS[0]/#\~/$HOME}" -m "${COMP_WORDS[2]}" 8>&1 9>/dev/null 1>/dev/null 2>/dev/null </dev/null))
    elif [[ -n $_tuning_other ]]; then
        IFS=$' \t\n'
        "$_tuning_other" "$@"
    fi
}
complete -o default -o bashdefault -F _tuning_python @PYTHONS@
"""

ZSH = r"""
_tuning_python() {
    local IFS=$'\013'
    if [[ ${words[2]} == -m && $CURRENT == 3 && ${words[3]} == t* ]]; then
        compadd -- ${=:-@COMMANDS@}
    elif [[ ${words[2]} == -m && ${words[3]} == tuning.* ]]; then
        local found=($(COMP_LINE="$BUFFER" COMP_POINT="$CURSOR" _ARGCOMPLETE=3 _ARGCOMPLETE_SHELL=zsh \
            _ARGCOMPLETE_SUPPRESS_SPACE=1 _ARGCOMPLETE_IFS="$IFS" \
            ${words[1]/#\~/$HOME} -m ${words[3]} 8>&1 9>/dev/null 1>/dev/null 2>/dev/null </dev/null))
        if (( $#found )); then _describe tuning found -o nosort; else _files; fi
    else
        _tuning_other "$@"
    fi
}
(( $+functions[_python] )) || autoload -Uz _python
_tuning_other() { if (( $+functions[_python] )); then _python "$@"; else _default "$@"; fi }
compdef _tuning_python @PYTHONS@
compdef -p _tuning_python '*/python(|3|3.1[0-9])'
"""

FISH = r"""
function __tuning_line
    set -l words (commandline -opc)
    test "$words[2]" = -m; and string match -q 'tuning.*' -- "$words[3]"
end
function __tuning_complete
    set -l words (commandline -opc)
    set -lx COMP_LINE (commandline -p)
    set -lx COMP_POINT (string length -- (commandline -cp))
    set -lx _ARGCOMPLETE 3
    set -lx _ARGCOMPLETE_SHELL fish
    set -lx _ARGCOMPLETE_SUPPRESS_SPACE 1
    set -lx _ARGCOMPLETE_IFS \n
    set -lx _ARGCOMPLETE_DFS \t
    set -l python (string replace -r '^~' $HOME -- $words[1])
    $python -m $words[3] 8>&1 9>/dev/null 1>/dev/null 2>/dev/null </dev/null
end
function __tuning_module
    set -l words (commandline -opc)
    test (count $words) = 2; and test "$words[2]" = -m
end
for python in @PYTHONS@
    complete -c $python -n __tuning_line -f -a '(__tuning_complete)'
    complete -c $python -n __tuning_module -f -a '@COMMANDS@'
end
"""

SHELLS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


def options() -> argparse.ArgumentParser:
    parser = cli.parser("completion", __doc__)
    parser.add_argument("shell", choices=tuple(SHELLS), help="which shell to print for")
    return parser


def run(args: argparse.Namespace, workspace: Workspace, console: cli.Console) -> tuple[dict[str, Any], str]:
    text = script(args.shell)
    return {"shell": args.shell, "script": text}, text


def script(shell: str) -> str:
    """What `shell` is to source."""
    names = " ".join(f"tuning.{name}" for name in commands())
    return SHELLS[shell].strip().replace("@COMMANDS@", names).replace("@PYTHONS@", " ".join(PYTHONS))


def commands() -> list[str]:
    """The modules beside this one that are commands, by name; none is imported."""
    return sorted(
        path.stem
        for path in Path(__file__).parent.glob("*.py")
        if path.stem != "cli" and "return cli.main(options(), run, argv)" in path.read_text(encoding="utf-8")
    )


def main(argv: list[str] | None = None) -> int:
    return cli.main(options(), run, argv)


if __name__ == "__main__":
    sys.exit(main())
