"""A stand-in for SLURM's `srun`: starts SLURM_NTASKS local processes and nothing else of a cluster.

Of srun it has the variables of each task, `--kill-on-bad-exit` (SIGTERM for the others once one has
failed), and the exit status: the highest of the tasks', a signal counting as 128 and its number.
"""

import os
import subprocess
import sys
import time


def main(arguments: list[str]) -> int:
    command = arguments[next(i for i, word in enumerate(arguments) if not word.startswith("--")) :]
    count = os.environ["SLURM_NTASKS"]
    tasks = []
    for rank in map(str, range(int(count))):
        names = {"SLURM_PROCID": rank, "SLURM_LOCALID": rank, "SLURM_STEP_NUM_TASKS": count}
        tasks.append(subprocess.Popen(command, env=os.environ | names))
    while any(task.poll() is None for task in tasks):
        if "--kill-on-bad-exit=1" in arguments and any(task.poll() for task in tasks):
            for task in tasks:
                task.terminate()
            break
        time.sleep(0.01)
    statuses = [task.wait() for task in tasks]
    return max(128 - status if status < 0 else status for status in statuses)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
