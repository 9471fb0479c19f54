"""`zeroseg shards KIND ...`: one kind per source of data."""

from collections.abc import Sequence

import tyro
from tyro.extras import subcommand_cli_from_dict

from shards import coco, folder, scenes


def main(arguments: Sequence[str]) -> None:
    """Read the command line and write shards."""
    kinds = {"scenes": scenes.write, "folder": folder.write, "coco": coco.write}
    subcommand_cli_from_dict(
        kinds, args=arguments, prog="zeroseg shards", config=(tyro.conf.PositionalRequiredArgs,)
    )
