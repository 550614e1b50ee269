"""Runs programs for a process that is large itself: what Linux tells of a program's memory is at least what the process had that
started it. Reads a line of JSON for each program, `[command, output, environment]`, and answers with
`[status, seconds, processor seconds, MiB]`."""

import json
import os
import subprocess
import sys
import time


def run(command, output, environment):
    started = time.perf_counter()
    with open(output, "wb") as out, open(f"{output}.err", "wb") as err:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment)
        try:
            _, status, usage = os.wait4(child.pid, 0)
        except BaseException:
            child.kill()
            child.wait()
            raise
    child.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - started
    return child.returncode, seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


for line in sys.stdin:
    print(json.dumps(run(*json.loads(line))), flush=True)
