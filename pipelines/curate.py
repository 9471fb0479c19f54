"""Choose which images of a set are worth training on; write which ones go, and why. No shard is changed.

    zeroseg embed --shards data/photos --teacher ViT-L-14:openai --grids 1 --output data/photos-l14
    zeroseg curate data/photos --embeddings data/photos-l14 --duplicates 0.95 --junk --output data/chosen
    zeroseg curate data/photos --against data/voc/val data/ade20k/val --output data/clean
    zeroseg curate data/photos --embeddings data/photos-l14 --names ade847 --unlike "page of text" \
        --unlike-best 0.01 --output data/pictures
    zeroseg curate show data/chosen --shards data/photos   # a page with pictures; see show --help
    zeroseg train CONFIG --data.shards data/photos --data.selection data/chosen

Steps are asked for by their options, and done in this order: --junk, --against, --unlike, --like, --names,
--duplicates, --balance. Any number of processes share the shards, and then the comparing; stopped and started again,
with as many or not, they go on with what is missing.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from accelerate import PartialState

from pipelines.command_line import UNSET, read
from pipelines.curation import page
from pipelines.curation.against import Leaks, embedder, leaks_of
from pipelines.curation.balance import balance
from pipelines.curation.config import CurateConfig
from pipelines.curation.facts import WORKING, Facts, FactsReading
from pipelines.curation.groups import NAME as GROUPS
from pipelines.curation.plan import begin, plan_of
from pipelines.curation.rounds import Rounds, over_path
from pipelines.curation.steps import (
    Verdict,
    Verdicts,
    exact_duplicates,
    junk,
    near_duplicates,
    same_pictures,
    unusable,
)
from pipelines.curation.vocabulary import Counted, Vocabulary
from pipelines.curation.whole_images import open_whole_images, teacher_of
from pipelines.curation.words import Wording, text_rows, wording
from pipelines.curation.writing import write
from shards.parallel import in_parallel
from zeroseg.data.block_tasks import Share
from zeroseg.data.embeddings import EmbeddingSet
from zeroseg.data.sharded_index import EXACT
from zeroseg.datasets.name_lists import read_names
from zeroseg.errors import InputError
from zeroseg.store.selection import Selection
from zeroseg.store.shard_set import ShardSet, open_set
from zeroseg.store.storage import join, local_path, remove
from zeroseg.training.processes import process_state


def curate(config: CurateConfig) -> Selection | None:
    """Choose, and return the selection, in the main process and when it is written.

    Raises InputError for anything wrong with the input, before any image is read, and when the output
    holds something else or no image would stay.
    """
    remove(over_path(config.output))  # an earlier job's: this one's processes have not met yet
    state = process_state()
    shards, embeddings, benchmarks = _opened(config)
    plan = plan_of(config, shards, benchmarks)
    finished = begin(config.output, plan, claim=state.is_main_process)
    if finished is not None:
        if state.is_main_process:  # which may have been stopped before it did
            remove(join(config.output, WORKING))
        return finished
    reading = FactsReading(shards, embeddings, config.output, config.cache)
    place = state.process_index, state.num_processes
    rounds = Rounds(config.output, reading.columns(), *place, config.workers)
    if not state.is_main_process:
        _read(reading, rounds)
        rounds.serve()
        return None
    try:
        device = torch.device(state.device or "cpu")
        words, vocabulary = _worded(config, embeddings, device)
        leaks = _leaks(config, embeddings, benchmarks, device)
        _read(reading, rounds)
        facts = reading.facts()
        counted = vocabulary.counted(facts) if vocabulary else None
        verdicts = _chosen(facts, config, leaks, words, counted, rounds)
        beside = counted.files(verdicts.keys()) if counted else {}
        selection = write(config.output, plan, shards, facts, verdicts, beside)
    except BaseException:
        rounds.give_up()
        raise
    remove(join(config.output, WORKING))
    return selection


def _opened(config: CurateConfig) -> tuple[ShardSet, EmbeddingSet | None, dict[str, ShardSet]]:
    """The images, their embeddings where they are compared, and benchmarks. Raises InputError."""
    shards, embeddings = open_set(config.shards, config.cache), None
    if len(set(shards.names)) < len(shards.names):
        raise InputError("two shards have one name: a selection tells them by it, rename one")
    if GROUPS.replace(".jsonl", ".tar") in shards.names:
        raise InputError(f"a shard's lines would be {GROUPS}, which tells of duplicates: rename it")
    if config.compares:
        embeddings = open_whole_images(config.embeddings, shards, config.cache)
    benchmarks = {spec: open_set(spec, config.cache) for spec in config.against}
    compares = config.duplicates is not None and min(config.duplicates, config.same_picture) < 1
    if compares and shards.samples > EXACT and local_path(config.output) is None:
        raise InputError(
            f"--output {config.output} is not local, and the index of more than {EXACT} images is mapped "
            "from files there: choose a local folder, and copy the selection"
        )
    return shards, embeddings, benchmarks


def _worded(
    config: CurateConfig, embeddings: EmbeddingSet | None, device: torch.device
) -> tuple[Wording | None, Vocabulary | None]:
    """What is asked for in words."""
    if not embeddings or not config.words.steps:
        return None, None
    clip = teacher_of(embeddings, config.embeddings, device)
    words, names = wording(config.words, clip), config.words.names
    if not names:
        return words, None
    listed = read_names(names, "--names")
    return words, Vocabulary(names=listed, rows=text_rows(clip, listed))


def _leaks(
    config: CurateConfig,
    embeddings: EmbeddingSet | None,
    benchmarks: Mapping[str, ShardSet],
    device: torch.device,
) -> list[Leaks]:
    """What is looked for of each benchmark."""
    embed = None
    if embeddings and benchmarks and config.against_cosine < 1:
        embed = embedder(embeddings, config.embeddings, device)
    return [leaks_of(name, of, embed, config.cache) for name, of in benchmarks.items()]


def _read(reading: FactsReading, rounds: Rounds) -> None:
    """Read this process's shards."""
    shards = reading.shards
    mine = range(len(shards.urls))[rounds.rank :: rounds.processes]
    todo = [shard for shard in mine if not reading.done(shard)]
    if rounds.over():
        return
    images = sum(shards.counts[shard] for shard in todo)
    names = [shards.names[shard] for shard in todo]
    for _ in in_parallel(reading, todo, names, rounds.workers, images):
        pass


def _chosen(
    facts: Facts,
    config: CurateConfig,
    leaks: Sequence[Leaks],
    words: Wording | None,
    counted: Counted | None,
    share: Share,
) -> Verdicts:
    """The images that go, by number, each for the first step that it does not pass."""
    left = np.ones(len(facts), bool)
    verdicts: dict[int, Verdict] = {}

    def do(step: Callable[..., Verdicts], *values: Any) -> None:
        gone = step(facts, left, *values)
        verdicts.update(gone)
        left[list(gone)] = False

    do(unusable)
    if config.junk:
        do(junk, config.rules)
    for benchmark in leaks:
        do(benchmark, config.same_picture, config.against_cosine, share)
    if words and config.words.unlike:
        do(words.unlike_gone)
    if words and config.words.like_decides:
        do(words.like_gone)
    if counted and config.words.names_at_most:
        do(counted.too_many, config.words.names_at_most, config.seed)
    if config.duplicates is not None:
        do(exact_duplicates)
        if config.same_picture < 1:
            do(same_pictures, config.same_picture, share)
    if config.duplicates is not None and config.duplicates < 1:
        do(near_duplicates, config.duplicates, share)
    if config.balance:
        do(balance, config.balance, config.seed, share)
    return verdicts


def main(arguments: Sequence[str]) -> None:
    """Read the command line, choose, and say how many stay; or show what was chosen."""
    if arguments[:1] == ["show"]:
        page.main(arguments[1:])
        return
    config = read(CurateConfig, arguments, "zeroseg curate", __doc__, *UNSET)
    selection = curate(config)
    if selection is not None:
        total = sum(shard.samples for shard in selection.shards)
        for reason, count in selection.reasons.items():
            print(f"{count:8}  {reason}")
        print(f"{config.output}: {selection.samples} of {total} images stay")
    PartialState().destroy_process_group()


if __name__ == "__main__":
    main(sys.argv[1:])
