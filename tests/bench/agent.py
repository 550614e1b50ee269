"""The agent under storms of starts and mappings: the bench of its crate, which prints its own table."""

import os
import sys

if os.geteuid():
    print("agent     | left out: programs are loaded into the kernel by root only", flush=True)
    sys.exit(0)
os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
os.execvp("cargo", ["cargo", "bench", "--quiet", "--package", "stella-zastava", "--bench", "storm"])
