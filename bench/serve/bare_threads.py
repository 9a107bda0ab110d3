"""What Python's threads reach without a server: THREADS of them sleep MILLISECONDS again and again for SECONDS.

Prints JSON: how often one woke up, the time, and the CPU time of the process.
"""

import json
import sys
import threading
import time

threads, milliseconds, seconds = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
counts = [0] * threads
go = threading.Event()


def sleeper(index: int) -> None:
    go.wait()
    while time.monotonic() < until:
        time.sleep(milliseconds / 1000)
        counts[index] += 1


workers = [threading.Thread(target=sleeper, args=(index,)) for index in range(threads)]
for worker in workers:
    worker.start()
cpu = time.process_time_ns()
begin = time.monotonic()
until = begin + seconds
go.set()
for worker in workers:
    worker.join()
json.dump(
    {
        "count": sum(counts),
        "seconds": time.monotonic() - begin,
        "cpu_ns": time.process_time_ns() - cpu,
    },
    sys.stdout,
)
