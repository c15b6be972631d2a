#!/usr/bin/env python3
"""Times whole programs that code pictures: aecodec against those of JPEG, WebP, JPEG XL and AVIF, at the same PSNR.

    python bench/peers/codecs/codecs.py --large FOLDER --kodak FOLDER [--save bench/results/MACHINE.json]

Pictures are the middle 1920x1080 pixels of the first large picture, and the first Kodak pictures (--count). For each picture and
program the quality is searched that comes nearest to the PSNR of aecodec at --quality. Then the programs take turns, one thread
each, and what counts is the processor time of the whole process, start-up and file reading included: on a quiet machine it is the
wall-clock time of a program with one thread, on a busy one it does not count the others.

Programs read PNG and write what costs them least: PPM, or Y4M in the case of avifdec, which thereby is spared the conversion to
RGB. See README.md for what has to be installed.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile

import numpy
from PIL import Image

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))


def cpu_seconds(cmd):
    """Runs a command; returns the processor seconds of its process, or ends the program if it fails."""
    env = dict(os.environ, GOMAXPROCS="1", OMP_NUM_THREADS="1")
    p = subprocess.Popen(cmd, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    message = p.stderr.read().decode(errors="replace")
    _, status, usage = os.wait4(p.pid, 0)
    p.returncode = os.waitstatus_to_exitcode(status)
    if p.returncode:
        sys.exit(f"{' '.join(cmd)}\n{message}exit status {p.returncode}")
    return usage.ru_utime + usage.ru_stime


def psnr(a, b):
    d = numpy.asarray(Image.open(a).convert("RGB"), dtype=numpy.float64) - numpy.asarray(Image.open(b).convert("RGB"))
    return 10 * numpy.log10(255 ** 2 / numpy.mean(d * d))


class Program:
    """An encoder and its decoder. encode and decode are commands, {q} is the setting."""

    def __init__(self, name, ext, low, high, encode, decode, view=None, view_ext="ppm", out_ext="ppm", rising=True, encoder_peer=True):
        self.name, self.ext, self.low, self.high, self.rising = name, ext, low, high, rising
        self.encode, self.decode, self.view = encode, decode, view or decode
        self.out_ext, self.view_ext, self.encoder_peer = out_ext, view_ext, encoder_peer


def fill(cmd, **values):
    return [part.format(**values) for part in cmd]


def programs(aecodec):
    return [
        Program("cjxl -e 7, djxl", "jxl", 30, 99,
                ["cjxl", "{src}", "{out}", "-e", "7", "-q", "{q}", "--num_threads=0"], ["djxl", "{src}", "{out}", "--num_threads=0"]),
        Program("avifenc -s 6 -y 444, avifdec", "avif", 1, 60,
                ["avifenc", "--jobs", "1", "-s", "6", "-y", "444", "--min", "{q}", "--max", "{q}", "{src}", "{out}"],
                ["avifdec", "--jobs", "1", "{src}", "{out}"], out_ext="y4m", view_ext="png", rising=False),
        Program("cwebp -m 4, dwebp", "webp", 1, 100,
                ["cwebp", "-quiet", "-m", "4", "-q", "{q}", "{src}", "-o", "{out}"], ["dwebp", "-quiet", "-ppm", "{src}", "-o", "{out}"]),
        Program("cjpeg, djpeg", "jpg", 1, 100,
                ["cjpeg", "-quality", "{q}", "-optimize", "-outfile", "{out}", "{ppm}"], ["djpeg", "-outfile", "{out}", "{src}"],
                encoder_peer=False),
    ]


def ours(aecodec, quality):
    return Program("aecodec", "aec", quality, quality,
                   [aecodec, "encode", "--quiet", "--force", "-j", "1", "-q", "{q}", "-o", "{out}", "{src}"],
                   [aecodec, "decode", "--quiet", "--force", "-j", "1", "-o", "{out}", "{src}"])


class Coded:
    """One picture by one program at its setting."""

    def __init__(self, program, picture, folder, wanted):
        self.program, self.picture = program, picture
        base = os.path.join(folder, f"{os.path.basename(picture)}.{program.ext}")
        self.file, self.out, self.viewed = base, f"{base}.out.{program.out_ext}", f"{base}.view.{program.view_ext}"
        low, high = program.low, program.high
        tried = {}

        def quality_at(q):
            if q not in tried:
                self.setting = q
                cpu_seconds(self.encode_command())
                cpu_seconds(fill(program.view, src=self.file, out=self.viewed))
                tried[q] = psnr(picture, self.viewed)
            return tried[q]

        while wanted is not None and high - low > 1:
            middle = (low + high) // 2
            if (quality_at(middle) < wanted) == program.rising:
                low = middle
            else:
                high = middle
        best = low if wanted is None else min((low, high), key=lambda q: abs(quality_at(q) - wanted))
        tried.pop(best, None)
        self.psnr = quality_at(best)
        width, height = Image.open(picture).size
        self.bpp = 8 * os.path.getsize(self.file) / (width * height)

    def encode_command(self):
        return fill(self.program.encode, src=self.picture, ppm=self.picture + ".ppm", out=self.file, q=self.setting)

    def decode_command(self):
        return fill(self.program.decode, src=self.file, out=self.out)


def crop(source, target, width, height):
    m = Image.open(source).convert("RGB")
    if m.width < width or m.height < height:
        m = m.transpose(Image.Transpose.ROTATE_90)
    if m.width < width or m.height < height:
        sys.exit(f"{source} has less than {width}x{height} pixels")
    x, y = (m.width - width) // 2, (m.height - height) // 2
    m.crop((x, y, x + width, y + height)).save(target)


def pictures(folder):
    return [os.path.join(folder, f) for f in sorted(os.listdir(folder)) if f.lower().endswith((".png", ".jpg", ".jpeg", ".webp"))]


def spread(values):
    return {"median": statistics.median(values), "best": min(values)}


def version(aecodec):
    v = json.loads(subprocess.check_output([aecodec, "version", "--json"]))
    goos, arch = v["platform"].split("/")
    return {"cpu": v["cpu"], "kernels": v["kernels"], "cores": os.cpu_count(), "os": goos, "arch": arch, "go": v["go"],
            "revision": v.get("revision", ""), "date": subprocess.check_output(["date", "-u", "+%F"], text=True).strip()}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--large", required=True, help="folder with pictures of at least 1920x1080 pixels, of which the first is used")
    p.add_argument("--kodak", required=True, help="folder with the Kodak pictures")
    p.add_argument("--count", type=int, default=2, help="Kodak pictures to use")
    p.add_argument("--aecodec", help="the program (default: built from this source tree)")
    p.add_argument("--quality", type=int, default=50)
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--save", help="record (.json) to put the result into")
    args = p.parse_args()

    with tempfile.TemporaryDirectory(prefix="aecodec-codecs-") as folder:
        aecodec = args.aecodec
        if not aecodec:
            aecodec = os.path.join(folder, "aecodec")
            subprocess.check_call(["go", "build", "-C", ROOT, "-o", aecodec, "./cmd/aecodec"])
        large = os.path.join(folder, "large.png")
        crop(pictures(args.large)[0], large, 1920, 1080)
        sets = [("1920x1080", [large])]
        kodak = []
        for i, name in enumerate(pictures(args.kodak)[:args.count]):
            kodak.append(os.path.join(folder, f"kodak{i}.png"))
            Image.open(name).convert("RGB").save(kodak[-1])
        sets.append((f"Kodak, {len(kodak)}", kodak))
        lines = []
        for title, files in sets:
            for f in files:
                Image.open(f).save(f + ".ppm")
            first = ours(aecodec, args.quality)
            coded = [[Coded(first, f, folder, None) for f in files]]
            for program in programs(aecodec):
                coded.append([Coded(program, f, folder, own.psnr) for f, own in zip(files, coded[0])])
            times = {(i, action): [] for i in range(len(coded)) for action in ("encode", "decode")}
            for _ in range(args.rounds):
                for i, all_files in enumerate(coded):
                    times[i, "encode"].append(sum(cpu_seconds(c.encode_command()) for c in all_files) / len(files))
                    times[i, "decode"].append(sum(cpu_seconds(c.decode_command()) for c in all_files) / len(files))
            for action in ("encode", "decode"):
                for i, all_files in enumerate(coded):
                    program = all_files[0].program
                    if action == "encode" and not program.encoder_peer:
                        continue
                    own, theirs = times[0, action], times[i, action]
                    name = program.name if i == 0 else re.split(", ", program.name)[action == "decode"]
                    lines.append({
                        "pictures": title, "program": name, "action": action,
                        "psnr": statistics.mean(c.psnr for c in all_files), "bpp": statistics.mean(c.bpp for c in all_files),
                        "seconds": spread(theirs),
                        "ratio": {"median": statistics.median(b / a for a, b in zip(own, theirs)), "best": min(theirs) / min(own)},
                    })
        print(f"{'pictures':12} {'action':7} {'program':24} {'PSNR':>6} {'bpp':>6} {'ms':>8} {'ratio':>6} {'best':>6}")
        for l in lines:
            print(f"{l['pictures']:12} {l['action']:7} {l['program']:24} {l['psnr']:6.2f} {l['bpp']:6.3f} "
                  f"{1e3 * l['seconds']['median']:8.1f} {l['ratio']['median']:6.2f} {l['ratio']['best']:6.2f}")
        if args.save:
            record = {}
            if os.path.exists(args.save):
                with open(args.save) as f:
                    record = json.load(f)
            record["peer_codecs"] = {"machine": version(aecodec), "lines": lines}
            with open(args.save, "w") as f:
                json.dump(record, f, indent=2)
                f.write("\n")


if __name__ == "__main__":
    main()
