#!/usr/bin/env python3
"""Times training: aecodec against PyTorch, same network, batch, data and cores.

    python bench/peers/train.py --data FOLDER [--aecodec PATH] [--batch 8] [--crop 192] [--steps 40] [--threads 2]

Both sides train the network that aecodec describes in its training record, from
the same kind of start (principal components), and are timed by the wall clock
over whole steps, crops included and start-up excluded. They take turns, so that
a machine that slows down or warms up does so for both, and the medians are
compared.

A ratio from a busy machine is worthless: PyTorch's threads wait for each other
in OpenMP barriers and slow down tenfold and more when other programs take their
cores. So the script measures what other programs use meanwhile, and gives no
ratio if it is more than --max-others of the cores.
See README.md for how to get PyTorch.
"""

import argparse
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TWIN = os.path.join(ROOT, "trainer", "torch", "aecodec_torch.py")


def run(cmd, env):
    """Runs a command and returns what it printed; ends the program if it fails."""
    done = subprocess.run(cmd, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(cmd)}\n{done.stdout}exit status {done.returncode}")
    return done.stdout


class Others:
    """The share of this machine's cores that programs other than our children use, from now on (Linux; else unknown)."""

    def __init__(self):
        self.start = self.read()

    @staticmethod
    def read():
        try:
            with open("/proc/stat") as f:
                user, nice, system, idle, iowait, irq, softirq, steal = map(int, f.readline().split()[1:9])
        except OSError:
            return None
        busy = (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return time.monotonic(), busy, children.ru_utime + children.ru_stime

    def share(self):
        if self.start is None:
            return None
        (t0, b0, c0), (t1, b1, c1) = self.start, self.read()
        return max(0.0, ((b1 - b0) - (c1 - c0)) / ((t1 - t0) * os.cpu_count()))


def time_aecodec(args, env, folder):
    """One run of aecodec; returns its speed in pixels per second and the architecture it trained."""
    model = os.path.join(folder, "model.aem")
    state = os.path.join(folder, "state")
    cmd = [args.aecodec, "train", "--quiet", "-o", model, "--checkpoint", state, "-j", str(args.threads),
           "--steps", str(args.steps), "--hard-steps", "0", "--batch", str(args.batch), "--crop", str(args.crop),
           "--log-every", str(args.every), "--save-every", str(10 * args.steps)]
    for d in args.data:
        cmd += ["--data", d]
    run(cmd, env)
    with open(os.path.join(state, "log.jsonl")) as f:
        entries = [json.loads(line) for line in f]
    # "seconds" is the clock of the whole loop, over any number of entries.
    ticks = [(e["step"], e["seconds"]) for e in entries if "seconds" in e]
    pixels = args.batch * args.crop ** 2
    speeds = [pixels * (s1 - s0) / (t1 - t0) for (s0, t0), (s1, t1) in zip(ticks, ticks[1:])]
    with open(os.path.join(folder, "model.json")) as f:
        arch = json.load(f)["config"]["arch"]
    return median(speeds), arch


def time_torch(args, env, folder, arch):
    """One run of the PyTorch twin; returns its speed in pixels per second."""
    description = os.path.join(folder, "arch.json")
    with open(description, "w") as f:
        json.dump(arch, f)
    cmd = [args.python, TWIN, "train", "-arch", description, "-out", os.path.join(folder, "twin.safetensors"),
           "-steps", str(args.steps + 1), "-hard", "0", "-batch", str(args.batch), "-crop", str(args.crop),
           "-log", str(args.every), "-save", str(10 * args.steps)]
    for d in args.data:
        cmd += ["-data", d]
    speeds = [1e6 * float(s) for s in re.findall(r"^step .* ([0-9.]+) Mpx/s$", run(cmd, env), re.M)]
    return median(speeds[2:])  # without step 0 alone, and the first interval, as on the other side


def median(speeds):
    if len(speeds) < 3:
        sys.exit(f"only {len(speeds)} intervals were timed: use more --steps")
    return statistics.median(speeds)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--data", action="append", required=True, help="folder of pictures (can be given several times)")
    p.add_argument("--aecodec", help="the program (default: built from this source tree)")
    p.add_argument("--python", default=sys.executable, help="a Python that has PyTorch (default: this one)")
    p.add_argument("--batch", type=int, default=8)
    p.add_argument("--crop", type=int, default=192)
    p.add_argument("--steps", type=int, default=40, help="training steps of each run")
    p.add_argument("--rounds", type=int, default=3, help="runs of each side")
    p.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
    p.add_argument("--max-others", type=float, default=0.05, help="share of the cores that other programs may use")
    p.add_argument("--json", help="file to write the result to")
    args = p.parse_args()
    args.every = max(1, args.steps // 8)

    # Both get the same number of threads, and neither a GPU.
    env = dict(os.environ, OMP_NUM_THREADS=str(args.threads), MKL_NUM_THREADS=str(args.threads), CUDA_VISIBLE_DEVICES="")
    with tempfile.TemporaryDirectory(prefix="aecodec-train-") as folder:
        if not args.aecodec:
            args.aecodec = os.path.join(folder, "aecodec")
            run(["go", "build", "-C", ROOT, "-o", args.aecodec, "./cmd/aecodec"], os.environ)
        version = run([args.python, "-c", "import torch; print(torch.__version__)"], env).strip()
        print(f"{args.batch} crops of {args.crop}x{args.crop}, {args.threads} threads, {args.steps} steps a run, PyTorch {version}")
        ours, theirs, busy = [], [], []
        for i in range(args.rounds):
            here = os.path.join(folder, str(i))
            os.mkdir(here)
            others = Others()
            speed, arch = time_aecodec(args, env, here)
            ours.append(speed)
            theirs.append(time_torch(args, env, here, arch))
            busy.append(others.share())
            used = "unknown" if busy[-1] is None else f"{busy[-1]:.0%}"
            print(f"round {i + 1}: aecodec {ours[-1] / 1e6:.3f} Mpixel/s, PyTorch {theirs[-1] / 1e6:.3f} Mpixel/s, "
                  f"other programs {used} of the cores", flush=True)
        a, b = statistics.median(ours), statistics.median(theirs)
        valid = all(s is None or s <= args.max_others for s in busy)
        print(f"median:  aecodec {a / 1e6:.3f} Mpixel/s, PyTorch {b / 1e6:.3f} Mpixel/s, "
              + (f"ratio {a / b:.3f}" if valid else "no ratio: the machine was busy"))
        if args.json:
            with open(args.json, "w") as f:
                json.dump({"torch": version, "threads": args.threads, "batch": args.batch, "crop": args.crop, "steps": args.steps,
                           "aecodec_pixels_per_second": ours, "torch_pixels_per_second": theirs, "others": busy,
                           "ratio": a / b if valid else None}, f, indent=2)
                f.write("\n")
        if not valid:
            sys.exit(f"other programs used more than {args.max_others:.0%} of the cores: stop them and run this again")


if __name__ == "__main__":
    main()
