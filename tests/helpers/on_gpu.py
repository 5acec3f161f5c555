"""What only a machine with a GPU can say: `make gpu`, or `python tests/helpers/on_gpu.py --out DIR`.

It needs a Python with torch and nothing that has to be built; what lacks a package is skipped and said. One
part runs after the other, each in a process of its own with a time limit: the tests marked `cuda` (engines and
supernets against the float64 definition on the device, CUDA graphs, autocast), a training run, a short search
with each method, and `cellzoo bench --device cuda` beside cuDNN. DIR/gpu.json has everything, DIR/gpu.md a line
for each part.

Exit codes: 0 all that could run is right, 1 a part is not, 77 there is no GPU, so nothing was checked.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import tomllib
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from cellzoo.errors import CellzooError  # noqa: E402 - of this checkout

NO_GPU = 77
LIMIT = 600.0
_TAIL = 4000
_CELLZOO = (sys.executable, str(Path(__file__).resolve()), "--command")


@dataclass(frozen=True)
class Part:
    """A command of `make gpu`.

    Attributes:
        name: What it is.
        command: Its words.
        needs: Modules without which it is skipped.
        seconds: At most.
    """

    name: str
    command: tuple[str, ...]
    needs: tuple[str, ...] = ()
    seconds: float = 60.0


@dataclass(frozen=True)
class Outcome:
    """What became of a part.

    Attributes:
        name: Its name.
        command: Its words.
        state: `ok`, `failed`, `too slow` or `skipped`.
        seconds: How long it took.
        words: The end of what it said, or why it was skipped.
    """

    name: str
    command: tuple[str, ...]
    state: str
    seconds: float
    words: str


def parts(out: Path, device: str) -> list[Part]:
    """All parts, those that say most first."""
    from search.registry import method_names

    cells = "--engines torch,scan --cells lstm,gru,darts-v2,mingru"
    timed = f"bench --device {device} --rounds 5 --budget 20 {cells}".split()
    trained = f"run small-ner --device {device} --cells lstm,darts-v2 --seeds 1 --set epochs=1".split()
    sizes = ("--shape", "32x35x256x256,32x35x1024x1024")
    found = [
        Part(
            "tests",
            (sys.executable, "-m", "pytest", "-m", "cuda", "-p", "no:cacheprovider", "tests"),
            ("pytest", "hypothesis"),
            240.0,
        ),
        Part("bench", (*_CELLZOO, *timed, *sizes, "--out", str(out / "bench.json")), seconds=120.0),
        Part("run", (*_CELLZOO, *trained, "--out", str(out / "run")), ("flair",)),
    ]
    options = ("--on", "small-ner", "--set", "epochs=1", "--device", device)
    found += [
        Part(
            f"search {method}",
            (*_CELLZOO, "search", method, *options, "--out", str(out / method)),
            ("flair",),
        )
        for method in method_names()
    ]
    return found


def run(part: Part, deadline: float) -> Outcome:
    """Run a part, in the time that it has and that is left."""
    missing = [name for name in part.needs if find_spec(name) is None]
    left = min(part.seconds, deadline - time.monotonic())
    if missing or left <= 1:
        reason = f"needs {', '.join(missing)}" if missing else f"the {LIMIT:g} s of all parts are over"
        return Outcome(part.name, part.command, "skipped", 0.0, reason)
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    begin = time.monotonic()
    try:
        found = subprocess.run(
            part.command,
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=left,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        said = (error.stdout or b"").decode(errors="replace")
        return Outcome(part.name, part.command, "too slow", time.monotonic() - begin, said[-_TAIL:])
    said = found.stdout.decode(errors="replace")
    state = "ok" if found.returncode == 0 else "failed"
    return Outcome(part.name, part.command, state, time.monotonic() - begin, said[-_TAIL:])


def summary(outcomes: list[Outcome], device: str) -> str:
    """A line for each part."""
    lines = [f"# {device}", "", "| part | | seconds | |", "|---|---|---:|---|"]
    for outcome in outcomes:
        last = (outcome.words.strip().splitlines() or [""])[-1].replace("|", "\\|")
        lines.append(f"| {outcome.name} | {outcome.state} | {outcome.seconds:.0f} | {last[:120]} |")
    return "\n".join([*lines, ""])


def write(out: Path, outcomes: list[Outcome], about: dict[str, str]) -> None:
    """Write both files anew."""
    content = {**about, "parts": [asdict(outcome) for outcome in outcomes]}
    (out / "gpu.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    (out / "gpu.md").write_text(summary(outcomes, about["device"]), encoding="utf-8")


def run_command(words: list[str]) -> int:
    """Run `cellzoo NAME ...` of this checkout, which need not be installed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module, _, attribute = project["entry-points"]["cellzoo.commands"][words[0]].partition(":")
    command = getattr(import_module(module), attribute)
    parser = argparse.ArgumentParser(f"cellzoo {words[0]}")
    command.configure(parser)
    try:
        return int(command.execute(parser.parse_args(words[1:])))
    except CellzooError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code


def main(arguments: list[str] | None = None) -> int:
    """Run all parts, and write down each as soon as it is over."""
    given = sys.argv[1:] if arguments is None else arguments
    if given[:1] == ["--command"]:
        return run_command(given[1:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "gpu", metavar="DIR")
    options = parser.parse_args(given)
    try:
        import torch
    except ImportError:
        sys.stderr.write(f"nothing was checked: {sys.executable} has no torch\n")
        return NO_GPU
    if not torch.cuda.is_available():
        sys.stderr.write("nothing was checked: torch finds no CUDA device here\n")
        return NO_GPU
    options.out.mkdir(parents=True, exist_ok=True)
    about = {
        "device": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "cuda": str(torch.version.cuda),
        "cudnn": str(torch.backends.cudnn.version()),
    }
    deadline = time.monotonic() + LIMIT
    outcomes: list[Outcome] = []
    for part in parts(options.out.resolve(), "cuda"):
        outcomes.append(run(part, deadline))
        write(options.out, outcomes, about)
        sys.stdout.write(f"{outcomes[-1].state:9} {outcomes[-1].seconds:4.0f} s  {part.name}\n")
        sys.stdout.flush()
    sys.stdout.write(f"{options.out / 'gpu.md'}\n")
    return int(any(outcome.state in ("failed", "too slow") for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
