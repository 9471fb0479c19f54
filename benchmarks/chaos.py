"""A run that is killed again and again, beside one that is not: do the same weights come out?

    uv run python -m benchmarks.chaos --minutes 30 --kills 10 --seed 0 --output runs/chaos

Two processes on the CPU under torchrun train the quickstart's student on scenes. After each event the
command is started again, unchanged. Which event comes at which step is drawn from the seed. Exit status
1 when weights or losses differ in a bit, or an event did not end as it should.
"""

import random
import re
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import tyro

from benchmarks.jobs import Job, Run
from pipelines.embed import EmbedConfig, embed
from shards import scenes
from shards.build import Limits, build
from zeroseg import CLIPConfig

REHEARSAL = 40
"""Steps that are timed to know how many fit the minutes."""
SECONDS = 120
"""In which a job must have ended after an event."""


@dataclass(frozen=True, kw_only=True)
class ChaosConfig:
    """How long, how often, where."""

    output: Path
    """A folder that does not exist yet."""
    minutes: float = 30.0
    """Of the undisturbed run's steps, as far as its first steps can tell."""
    kills: int = 10
    seed: int = 0
    images: int = 240
    batch_size: int = 32
    together: bool = False
    """Train the undisturbed run at the same time and not before."""


class Kind(NamedTuple):
    """A way to disturb a job."""

    does: Callable[[Job, random.Random], str]
    """Returns what was done."""
    expects: str
    """What is said of it, as a regular expression."""
    later: bool
    """By the next start, and not by the one that is disturbed."""


def power_cut(job: Job, rng: random.Random) -> str:
    """Kill everything."""
    job.kill()
    return "SIGKILL to launcher and workers"


def asked_to_stop(job: Job, rng: random.Random) -> str:
    """Tell every worker."""
    for worker in job.workers():
        worker.terminate()
    return "SIGTERM to the workers"


def one_dies(job: Job, rng: random.Random) -> str:
    """Kill one worker; the others have to notice."""
    rank = rng.randrange(job.run.processes)
    job.workers()[rank].kill()
    return f"SIGKILL to the worker of rank {rank}"


def disk_lies(job: Job, rng: random.Random) -> str:
    """Kill everything, then damage a file of the newest checkpoint."""
    job.kill()
    newest = job.run.checkpoints()[-1]
    file = rng.choice(sorted(newest.iterdir()))
    data = bytearray(file.read_bytes())
    place = rng.randrange(len(data))
    if rng.random() < 0.5:
        data[place] ^= 0xFF
        how = f"byte {place} flipped"
    else:
        del data[place // 2 :]
        how = f"cut to {len(data)} bytes"
    file.write_bytes(data)
    return f"SIGKILL to all, then {newest.name}/{file.name}: {how}"


KINDS = (
    Kind(power_cut, r"going on from \S*step-\d+", later=True),
    Kind(asked_to_stop, r"exitcode +: 75", later=False),
    Kind(one_dies, r"Signal 9 \(SIGKILL\) received by PID \d+", later=False),
    Kind(disk_lies, r"checkpoint \S*step-\d+ is damaged \([^)]*\)", later=True),
)


@dataclass
class Event:
    """A line of the table."""

    kind: Kind
    minutes: float
    step: int
    what: str
    status: int
    seconds: float | None
    """Until the job had ended; none if it had to be killed."""
    before: str
    """What that start of the command said."""
    continued: int = 0
    after: str = ""

    @property
    def said(self) -> str:
        """The words that were expected; empty when they did not come."""
        found = re.search(self.kind.expects, self.after if self.kind.later else self.before)
        return re.sub(r"\S*/(?=step-)", "", found[0]) if found else ""

    @property
    def fine(self) -> bool:
        """Whether the job ended, and as it should."""
        return self.seconds is not None and bool(self.said)

    def line(self) -> str:
        """Of the table."""
        ended = "not" if self.seconds is None else f"{self.seconds:.1f}"
        cells = [f"{self.minutes:.1f}", self.what, self.step, self.status, ended, self.continued]
        return "| " + " | ".join(map(str, [*cells, self.said or "NOT AS EXPECTED"])) + " |"


def prepared(config: ChaosConfig) -> list[str]:
    """Build scenes and embeddings; the arguments of every run."""
    folder = config.output / "data"
    limits = Limits(images_per_shard=24, workers=0)
    build(scenes.Scenes("train", config.images).source(), str(folder / "train"), limits)
    teacher = CLIPConfig(architecture="zeroseg-scenes", weights="")
    names = {"shards": f"{folder}/train", "output": f"{folder}/embeddings"}
    embed(EmbedConfig(**names, teacher=teacher, side=112, workers=0))
    arguments = ["configs/quickstart.py", "--data.shards", names["shards"]]
    arguments += ["--embeddings", names["output"], "--data.batch-size", str(config.batch_size)]
    return [*arguments, "--log-every", "1", "--keep-last", "3", "--timeout", "60"]


def finished(job: Job) -> None:
    """Wait for a job that must end well."""
    if job.process.wait() != 0:
        raise SystemExit(f"{job.log}:\n{job.said()[-4000:]}")


def plan(config: ChaosConfig, steps: int, rng: random.Random) -> list[tuple[int, Kind]]:
    """Every kind at least once, spread over the run: a random step in each of as many parts."""
    kinds = [*KINDS, *rng.choices(KINDS, k=config.kills - len(KINDS))]
    rng.shuffle(kinds)
    places = [0.95 * (i + rng.random()) / config.kills for i in range(config.kills)]
    return [(int(steps * place), kind) for place, kind in zip(places, kinds, strict=True)]


def disturbed(
    run: Run, events: list[tuple[int, Kind]], rng: random.Random, pause: float
) -> list[Event]:
    """Train to the end through all events. `pause`: most seconds between a step's row and its event."""
    begun, done = time.monotonic(), []
    for number in range(len(events) + 1):
        job = run.start(run.output.with_name(f"disturbed-{number}.log"))
        step, kind = events[number] if number < len(events) else (0, None)
        alive = kind is not None and job.wait_for(step)
        while alive and kind.does is disk_lies and len(run.checkpoints()) < 2:
            alive = job.wait_for(run.step() + 1)  # there must be one before the newest
        if alive:
            time.sleep(rng.uniform(0, pause))
            at, what = run.step(), kind.does(job, rng)
            seconds = job.ended(SECONDS)
        elif kind is None:
            finished(job)
        else:
            raise SystemExit(f"ended before its event, {job.log}:\n{job.said()[-4000:]}")
        if done:
            done[-1].continued, done[-1].after = job.continued(), job.said()
            print(done[-1].line(), file=sys.stderr, flush=True)
        if alive:
            minutes = (time.monotonic() - begun) / 60
            status = job.process.returncode
            done.append(Event(kind, minutes, at, what, status, seconds, job.said()))
    return done


def report(events: list[Event], one: Run, other: Run) -> bool:
    """Print the table and the verdict; whether all is well."""
    print("\n| minute | what | at step | exit status | seconds to the end | went on from | said |")
    print("|---|---|---|---|---|---|---|")
    print("\n".join(event.line() for event in events), end="\n\n")
    traces = [
        [(r["step"], r["loss"], r["gradient_norm"]) for r in run.rows()] for run in (one, other)
    ]
    same = sum(a == b for a, b in zip(*traces, strict=False))
    equal = one.weights() == other.weights()
    print(f"weights: {'equal, bit for bit' if equal else 'DIFFERENT'}")
    print(f"losses and gradient norms: {same} of {len(traces[0])} steps equal, bit for bit")
    print(f"events that ended as they should: {sum(e.fine for e in events)} of {len(events)}")
    return equal and traces[0] == traces[1] and all(event.fine for event in events)


def main(config: ChaosConfig) -> None:
    """Train both runs and compare."""
    if config.kills < len(KINDS):
        raise SystemExit(f"--kills {config.kills}: there are {len(KINDS)} kinds, each comes once")
    config.output.mkdir(parents=True)
    rng, arguments = random.Random(config.seed), prepared(config)
    trial = Run([*arguments, "--steps", str(REHEARSAL)], config.output / "trial")
    finished(trial.start(config.output / "trial.log"))
    pause = statistics.median(row["step_seconds"] for row in trial.rows()[REHEARSAL // 2 :])
    steps = max(10 * config.kills, int(60 * config.minutes / pause))
    arguments += ["--steps", str(steps), "--save-every", str(max(1, steps // (5 * config.kills)))]
    calm, wild = (Run(arguments, config.output / name) for name in ("undisturbed", "disturbed"))
    print(f"{steps} steps of {pause:.3f} s, {' '.join(arguments[5:])}", flush=True)
    first = calm.start(config.output / "undisturbed.log")
    if not config.together:
        finished(first)
    events = disturbed(wild, plan(config, steps, rng), rng, pause)
    finished(first)
    sys.exit(0 if report(events, calm, wild) else 1)


if __name__ == "__main__":
    main(tyro.cli(ChaosConfig, args=sys.argv[1:]))
