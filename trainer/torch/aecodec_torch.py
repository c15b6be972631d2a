#!/usr/bin/env python3
"""The photo autoencoder of aecodec in PyTorch, for those who have GPUs.

It interprets the same network description that a model file holds (a list of
layers, see codec/nn), so that there is one definition of the network, and it
reads and writes safetensors under the parameter names and in the shapes of
codec/nn: convolutions [KH, KW, Cin, Cout], depthwise [KH, KW, C].

    python aecodec_torch.py train -arch photo.json -data DIR -out photo.safetensors
    torchrun --nproc-per-node 4 aecodec_torch.py train ...
    aecodec model import photo.safetensors --data DIR -o photo.aem
    aecodec model export -o weights.safetensors       (the other way: -init takes them)

-arch takes the record (.json) that aecodec train writes beside a model, or the
"arch" object of one. The loss is that of trainer/rd.go: Balle et al. 2018
(arXiv 1802.01436) for the rate, one gain vector per anchor rate (Cui et al.
2021) for many rates.
"""

import argparse
import glob
import json
import math
import os
import random
import struct
import sys
import time

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F

LEVELS, SIGMA_MIN, SIGMA_MAX = 64, 0.11, 256.0
STEP = math.log(SIGMA_MAX / SIGMA_MIN) / (LEVELS - 1)


# ---------------------------------------------------------------- networks

def shuffle(x, r):
    """Depth to space with the block offset as the slow channel index (TensorFlow's order)."""
    n, c, h, w = x.shape
    c //= r * r
    return x.view(n, r, r, c, h, w).permute(0, 3, 4, 1, 5, 2).reshape(n, c, h * r, w * r)


def unshuffle(x, r):
    n, c, h, w = x.shape
    return x.view(n, c, h // r, r, w // r, r).permute(0, 3, 5, 1, 2, 4).reshape(n, c * r * r, h // r, w // r)


def key(layer, kind):
    """The name of a layer's parameter inside its module; PyTorch allows no dots there."""
    return layer.replace(".", "-") + "/" + kind


class Network(torch.nn.Module):
    """Runs the layers of one network description."""

    def __init__(self, desc):
        super().__init__()
        self.desc = desc
        channels = {p["name"]: p["c"] for p in desc["inputs"]}
        params = {}
        prev = desc["inputs"][0]["name"]
        for layer in desc["layers"]:
            name, op = layer["name"], layer["op"]
            ins = layer.get("in") or [prev]
            layer["in"] = ins
            cin = channels[ins[0]]
            k = layer.get("kernel", 1)
            out = cin
            if op == "conv":
                out = layer["out"]
                params[key(name, "weight")] = torch.empty(out, cin, k, k).normal_(0, math.sqrt(2.0 / (cin * k * k)))
                if not layer.get("nobias"):
                    params[key(name, "bias")] = torch.zeros(out)
            elif op == "depthwise":
                params[key(name, "weight")] = torch.empty(cin, 1, k, k).normal_(0, math.sqrt(2.0 / (k * k)))
                if not layer.get("nobias"):
                    params[key(name, "bias")] = torch.zeros(cin)
            elif op == "shuffle":
                out = cin // layer["factor"] ** 2
            elif op == "unshuffle":
                out = cin * layer["factor"] ** 2
            elif op == "concat":
                out = sum(channels[i] for i in ins)
            channels[name] = out
            prev = name
        self.params = torch.nn.ParameterDict({k: torch.nn.Parameter(v) for k, v in params.items()})

    def weight(self, name):
        return self.params[key(name, "weight")]

    def forward(self, *inputs):
        v = {p["name"]: x for p, x in zip(self.desc["inputs"], inputs)}
        P = self.params
        for layer in self.desc["layers"]:
            name, op = layer["name"], layer["op"]
            x = v[layer["in"][0]]
            if op == "conv":
                y = F.conv2d(x, P[key(name, "weight")], P[key(name, "bias")] if not layer.get("nobias") else None,
                             padding=layer.get("kernel", 1) // 2)
            elif op == "depthwise":
                y = F.conv2d(x, P[key(name, "weight")], P[key(name, "bias")] if not layer.get("nobias") else None,
                             padding=layer["kernel"] // 2, groups=x.shape[1])
            elif op == "leaky":
                y = F.leaky_relu(x, layer["slope"])
            elif op == "add":
                y = x + v[layer["in"][1]]
            elif op == "concat":
                y = torch.cat([v[i] for i in layer["in"]], 1)
            elif op == "shuffle":
                y = shuffle(x, layer["factor"])
            elif op == "unshuffle":
                y = unshuffle(x, layer["factor"])
            elif op == "symlog":
                y = torch.sign(x) * torch.log1p(x.abs())
            else:
                raise ValueError(f"layer {name}: op {op} has no PyTorch twin")
            v[name] = y
        outs = [v[o] for o in self.desc["outputs"]]
        return outs[0] if len(outs) == 1 else outs


# ---------------------------------------------------------------- the model

class STE(torch.autograd.Function):
    """round with the gradient of the identity"""
    @staticmethod
    def forward(ctx, x):
        return torch.round(x)

    @staticmethod
    def backward(ctx, g):
        return g


class LowerBound(torch.autograd.Function):
    """clamp whose gradient passes where it points back inside (Balle's lower bound, both sides)"""
    @staticmethod
    def forward(ctx, x, lo, hi):
        ctx.save_for_backward(x)
        ctx.lo, ctx.hi = lo, hi
        return x.clamp(lo, hi)

    @staticmethod
    def backward(ctx, g):
        x, = ctx.saved_tensors
        keep = ((x >= ctx.lo) | (g < 0)) & ((x <= ctx.hi) | (g > 0))
        return g * keep, None, None


def normal_bits(d, log_sigma):
    inv = torch.exp(-log_sigma) * math.sqrt(0.5)
    d = d.abs()
    p = 0.5 * (torch.erfc((d - 0.5) * inv) - torch.erfc((d + 0.5) * inv))
    exact = -torch.log2(p.clamp_min(2.0 ** -24))
    # past the floor a gently growing tail keeps a gradient towards the mean
    z = d * inv
    return torch.where(p > 2.0 ** -24, exact, 24.0 + (z - z.detach()))


class Codec(torch.nn.Module):
    NETS = ("analysis", "hyperanalysis", "hypersynthesis", "context", "synthesis")

    def __init__(self, arch):
        super().__init__()
        self.arch = arch
        M, Z, A = arch["m"], arch["z"], arch["anchors"]
        for n in arch["networks"]:
            setattr(self, n["name"], Network(n))
        self.lmin, self.lmax = arch["lambda_min"], arch["lambda_max"]
        lam = torch.tensor([self.lmin * (self.lmax / self.lmin) ** (a / (A - 1)) for a in range(A)])
        gain = torch.log(50 * torch.sqrt(lam))[:, None].repeat(1, M)
        P = torch.nn.Parameter
        self.gain_enc, self.gain_dec = P(gain.clone()), P(-gain)
        self.gain_z = P(torch.zeros(A, Z))
        self.scale_weight = P(torch.zeros(Z, 16 * M))
        self.scale_bias = P(torch.zeros(M))
        self.scale_offset = P(torch.zeros(A, M))
        self.prior_mean = P(torch.zeros(A, Z))
        self.prior_logsigma = P(torch.zeros(A, Z))

    EXTRA = {"gain.enc": "gain_enc", "gain.dec": "gain_dec", "gain.z": "gain_z", "scale.weight": "scale_weight",
             "scale.bias": "scale_bias", "scale.offset": "scale_offset", "prior.mean": "prior_mean",
             "prior.logsigma": "prior_logsigma"}

    def lerp(self, table, t):
        """table [A, C] at positions t [N] -> [N, C, 1, 1]"""
        a = t.floor().clamp(0, self.arch["anchors"] - 2).long()
        f = (t - a)[:, None]
        return (table[a] * (1 - f) + table[a + 1] * f)[:, :, None, None]

    def lam(self, t):
        return self.lmin * (self.lmax / self.lmin) ** (t / (self.arch["anchors"] - 1))

    def forward(self, x, t, hard):
        """x [N,3,H,W] in -0.5..0.5, sides multiples of 64; t [N] -> bits of y, bits of z (per sample), reconstruction"""
        ge = torch.exp(self.lerp(self.gain_enc, t))
        gd = torch.exp(self.lerp(self.gain_dec, t))
        gz = torch.exp(self.lerp(self.gain_z, t))
        if hard:  # the codec keeps the steps of the hyper-latent with 8 fractional bits
            gz = 256 / torch.round(256 / gz.detach()).clamp(1, 65535)
        y = self.analysis(x)
        ys = y * ge
        zs = self.hyperanalysis(y, ys) * gz
        zq = STE.apply(zs).clamp(-127, 127)
        zr = zq if hard else zs + torch.rand_like(zs) - 0.5
        z_bits = normal_bits(zr - self.lerp(self.prior_mean, t), self.lerp(self.prior_logsigma, t).expand_as(zr))
        zf = zq / gz
        h, ma = self.hypersynthesis(zf)
        s = F.conv2d(zf, self.scale_weight.t()[:, :, None, None])
        s = shuffle(s, 4) + self.scale_bias[None, :, None, None] + self.lerp(self.scale_offset, t)
        log_sigma = math.log(SIGMA_MIN) + LowerBound.apply(s, 0.0, float(LEVELS - 1)) * STEP
        yy, xx = torch.meshgrid(torch.arange(y.shape[2], device=y.device), torch.arange(y.shape[3], device=y.device), indexing="ij")
        anchor = ((yy + xx) % 2 == 0)[None, None]
        mua = ma * ge
        coded = (s >= 0.5) if hard else torch.ones_like(s)  # at level 0 the codec codes nothing
        ka = STE.apply(ys - mua) * coded
        ya = torch.where(anchor, (ka + mua) * gd, torch.zeros_like(y))
        mn = self.context(h, ya, ma)
        mu = torch.where(anchor, mua, mn * ge)
        k = STE.apply(ys - mu)
        r = k if hard else ys - mu + torch.rand_like(ys) - 0.5
        y_bits = normal_bits(r, log_sigma)
        xhat = self.synthesis((k * coded + mu) * gd)
        return y_bits.sum((1, 2, 3)), z_bits.sum((1, 2, 3)), xhat

    def loss(self, x, t, hard=False):
        yb, zb, xhat = self(x, t, hard)
        pixels = x.shape[2] * x.shape[3]
        bpp = (yb + zb) / pixels
        mse = ((xhat.float() - x) ** 2).mean((1, 2, 3))
        lam = self.lam(t)
        weight = (lam / math.sqrt(self.lmin * self.lmax)) ** -0.5
        return (weight * (bpp + lam * 65025 * mse)).mean(), bpp, zb / pixels, mse

    # parameters under the names and in the shapes of codec/nn
    def tensors(self):
        """Yields every parameter with its name in codec/nn and the two permutations: to that shape, and back."""
        for net in self.NETS:
            module = getattr(self, net)
            for layer in module.desc["layers"]:
                for kind in ("weight", "bias"):
                    p = module.params[key(layer["name"], kind)] if key(layer["name"], kind) in module.params else None
                    if p is None:
                        continue
                    out, back = (lambda v: v), (lambda v: v)
                    if kind == "weight" and layer["op"] == "depthwise":
                        out, back = (lambda v: v[:, 0].permute(1, 2, 0)), (lambda v: v.permute(2, 0, 1)[:, None])
                    elif kind == "weight":
                        out, back = (lambda v: v.permute(2, 3, 1, 0)), (lambda v: v.permute(3, 2, 0, 1))
                    yield f"{net}.{layer['name']}.{kind}", p, out, back
        for name, attr in self.EXTRA.items():
            yield name, getattr(self, attr), (lambda v: v), (lambda v: v)

    def export(self):
        return {name: out(p.detach().float().cpu()).contiguous().numpy() for name, p, out, _ in self.tensors()}

    @torch.no_grad()
    def load(self, tensors):
        for name, p, out, back in self.tensors():
            v = torch.from_numpy(np.array(tensors[name], dtype=np.float32))
            if v.shape != out(p).shape:
                raise ValueError(f"{name}: shape {tuple(v.shape)}, want {tuple(out(p).shape)}")
            p.copy_(back(v))


def read_arch(path):
    """The model, untrained, of a training record or of an architecture alone."""
    with open(path) as f:
        arch = json.load(f)
    return Codec(arch.get("config", {}).get("arch", arch))


# ---------------------------------------------------------------- safetensors

def save_safetensors(path, tensors):
    header, offset = {}, 0
    for name in sorted(tensors):
        v = tensors[name]
        header[name] = {"dtype": "F32", "shape": list(v.shape), "data_offsets": [offset, offset + v.nbytes]}
        offset += v.nbytes
    blob = json.dumps(header, separators=(",", ":")).encode()
    blob += b" " * (-len(blob) % 8)
    with open(path + ".tmp", "wb") as f:
        f.write(struct.pack("<Q", len(blob)) + blob)
        for name in sorted(tensors):
            f.write(np.ascontiguousarray(tensors[name], dtype="<f4").tobytes())
    os.replace(path + ".tmp", path)


def load_safetensors(path):
    with open(path, "rb") as f:
        n = struct.unpack("<Q", f.read(8))[0]
        header = json.loads(f.read(n))
        data = f.read()
    return {k: np.frombuffer(data[v["data_offsets"][0]:v["data_offsets"][1]], dtype="<f4").reshape(v["shape"])
            for k, v in header.items() if k != "__metadata__"}


# ---------------------------------------------------------------- data

def load_pictures(folders):
    from PIL import Image
    pictures = []
    for folder in folders:
        for path in sorted(glob.glob(os.path.join(folder, "*"))):
            if path.lower().endswith((".png", ".jpg", ".jpeg", ".webp")):
                pictures.append(np.asarray(Image.open(path).convert("RGB")))
    return [p for p in pictures if min(p.shape[:2]) >= 64]


def random_crop(pictures, size, rng):
    """Crops with probability proportional to a picture's area, mirrored and transposed at random."""
    while True:
        p = rng.choice(pictures)
        if p.shape[0] >= size and p.shape[1] >= size:
            break
    y, x = rng.randrange(p.shape[0] - size + 1), rng.randrange(p.shape[1] - size + 1)
    c = p[y:y + size, x:x + size]
    if rng.random() < 0.5:
        c = c[:, ::-1]
    if rng.random() < 0.5:
        c = c.transpose(1, 0, 2)
    return c


def batch_of(pictures, n, size, rng):
    b = np.stack([random_crop(pictures, size, rng) for _ in range(n)])
    return (torch.from_numpy(b).permute(0, 3, 1, 2).float() / 255 - 0.5).contiguous(memory_format=torch.channels_last)


def pca_init(model, pictures, rng, patches=60000):
    """Starts the linear shortcuts at the leading principal components of 16x16 patches."""
    M = model.arch["m"]
    x = np.empty((patches, 768), np.float32)
    for i in range(patches):
        x[i] = random_crop(pictures, 16, rng).reshape(-1) / 255.0 - 0.5  # order (py*16+px)*3+c, as unshuffle16
    cov = x.astype(np.float64).T @ x.astype(np.float64) / patches  # about the origin: the mean belongs to the first component
    vals, vecs = np.linalg.eigh(cov)
    vals, vecs = vals[::-1][:M].copy(), vecs[:, ::-1][:, :M].copy()
    w = torch.from_numpy(vecs.astype(np.float32))  # [768, M]
    # the decoder's order: (by*4+bx)*48 + (py*4+px)*3 + c for pixel row by*4+py
    order = np.arange(768).reshape(4, 4, 4, 4, 3)  # by, py, bx, px, c  -> index in (y, x, c)
    order = torch.from_numpy(order.transpose(0, 2, 1, 3, 4).reshape(-1).copy())
    with torch.no_grad():
        model.analysis.weight("lin").copy_(w.t()[:, :, None, None])
        model.synthesis.weight("lin").copy_(w[order][:, :, None, None])
        for net, layer in (("analysis", "head"), ("synthesis", "head"), ("hypersynthesis", "mean"), ("context", "mean")):
            getattr(model, net).weight(layer).mul_(0.01)
        for net in model.NETS:  # residual branches start small, or eight of them amplify without a norm layer
            for name, v in getattr(model, net).params.items():
                if name.endswith(("pw2/weight", "ff2/weight")):
                    v.mul_(0.1)
        std = torch.from_numpy(np.sqrt(vals).astype(np.float32))
        level0 = lambda log_gain: (torch.log(std * 0.5) + log_gain - math.log(SIGMA_MIN)) / STEP
        mid = model.gain_enc.mean(0)
        model.scale_bias.copy_(level0(mid).clamp(1, LEVELS - 2))
        model.scale_offset.copy_((model.gain_enc - mid) / STEP)


# ---------------------------------------------------------------- training

def lr_at(step, args):
    """As trainer/schedule.go: warm-up, then a cosine, or a constant rate that falls with 1-sqrt over the last steps."""
    if step < args.warmup:
        return args.lr * (step + 1) / args.warmup
    if args.cooldown:
        fall = 1 - math.sqrt(max(0, step - (args.steps - args.cooldown)) / args.cooldown)
    else:
        f = (step - args.warmup) / max(1, args.steps - args.warmup)
        fall = 0.5 * (1 + math.cos(math.pi * f))
    return args.lr * (fall * (1 - args.lr_end) + args.lr_end)


class Muon(torch.optim.Optimizer):
    """Muon (Jordan et al. 2024) with the scale of arXiv 2502.16982, as trainer/muon.go has it."""

    def __init__(self, params, lr, momentum=0.95):
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                m = self.state[p].setdefault("m", torch.zeros_like(p))
                m.lerp_(p.grad, 1 - group["momentum"])
                u = p.grad.lerp(m, group["momentum"]).flatten(1).float()
                x = u if u.shape[0] <= u.shape[1] else u.t()
                x = x / x.norm().clamp_min(1e-30)
                for _ in range(5):
                    a = x @ x.t()
                    x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
                u = x if u.shape[0] <= u.shape[1] else x.t()
                p.add_(u.reshape(p.shape), alpha=-group["lr"] * 0.2 * math.sqrt(max(u.shape)))


def optimisers(model, args):
    """Muon for the 1x1 convolutions but the linear shortcuts, Adam for the rest."""
    matrices, rest = [], []
    for name, p, _, _ in model.tensors():
        sides = p.shape[:2] if p.dim() == 4 and p.shape[2] == 1 else (0, 0)
        muon = args.optimizer == "muon" and min(sides) >= 16 and not name.endswith(".lin.weight")
        (matrices if muon else rest).append(p)
    return ([Muon(matrices, args.lr * args.muon_rate)] if matrices else []) + [torch.optim.Adam(rest, lr=args.lr, betas=(0.9, 0.99))]


@torch.no_grad()
def validate(model, folder, qualities=(1, 2.5, 4, 6)):
    rows = []
    pictures = load_pictures([folder])
    for t in qualities:
        bpp = psnr = 0.0
        for p in pictures:
            h, w = p.shape[0] // 64 * 64, p.shape[1] // 64 * 64
            x = torch.from_numpy(p[:h, :w].copy()).permute(2, 0, 1)[None].float() / 255 - 0.5
            x = x.to(model.gain_enc.device).contiguous(memory_format=torch.channels_last)
            yb, zb, xh = model(x, torch.full((1,), float(t), device=x.device), True)
            bpp += (yb + zb).item() / (h * w)
            q = torch.round((xh.float() + 0.5) * 255).clamp(0, 255) / 255 - 0.5
            psnr += -10 * math.log10(((q - x) ** 2).mean().item())
        rows.append((t, bpp / len(pictures), psnr / len(pictures)))
    return rows


def train(args):
    world = int(os.environ.get("WORLD_SIZE", 1))
    rank = int(os.environ.get("RANK", 0))
    device = torch.device("cpu")
    if torch.cuda.is_available():
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    if world > 1:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    torch.manual_seed(args.seed)
    rng = random.Random(args.seed + rank)
    model = read_arch(args.arch)
    pictures = load_pictures(args.data)
    if not pictures:
        sys.exit(f"{args.data}: no pictures")
    if args.init:
        model.load(load_safetensors(args.init))
    else:
        pca_init(model, pictures, random.Random(args.seed))
    torch.manual_seed(args.seed + 1000 + rank)
    model.to(device=device, memory_format=torch.channels_last)
    opts = optimisers(model, args)
    ema = {n: p.detach().clone() for n, p in model.named_parameters()}
    start = 0
    if args.checkpoint and os.path.exists(args.checkpoint):
        c = torch.load(args.checkpoint, map_location=device, weights_only=False)
        model.load_state_dict(c["model"]); ema = c["ema"]
        for opt, state in zip(opts, c["opt"]):
            opt.load_state_dict(state)
        start = c["step"]
        rng.seed(args.seed + 7919 * start + rank); torch.manual_seed(args.seed + 7919 * start + rank)

    def save(step):
        if rank:
            return
        if args.checkpoint:
            torch.save({"model": model.state_dict(), "opt": [opt.state_dict() for opt in opts], "ema": ema, "step": step}, args.checkpoint + ".tmp")
            os.replace(args.checkpoint + ".tmp", args.checkpoint)
        live = {n: p.detach().clone() for n, p in model.named_parameters()}
        with torch.no_grad():
            for n, p in model.named_parameters():
                p.copy_(ema[n])
        save_safetensors(args.out, model.export())
        if args.valid:
            print("valid", step, " ".join(f"t={t} {b:.4f}bpp {q:.3f}dB" for t, b, q in validate(model, args.valid)), flush=True)
        with torch.no_grad():
            for n, p in model.named_parameters():
                p.copy_(live[n])

    mean = [0.0] * 4
    clock, seen = time.time(), 0
    A = model.arch["anchors"]
    for step in range(start, args.steps):
        lr = lr_at(step, args)
        for opt in opts:
            for g in opt.param_groups:
                g["lr"] = lr * (args.muon_rate if isinstance(opt, Muon) else 1)
        x = batch_of(pictures, args.batch, args.crop, rng).to(device, non_blocking=True)
        t = torch.tensor([(i + rng.random()) / args.batch * (A - 1) for i in range(args.batch)], device=device)
        t = t[torch.tensor(rng.sample(range(args.batch), args.batch), device=device)]
        with torch.autocast(device.type, torch.bfloat16, enabled=args.bf16):
            loss, bpp, zbpp, mse = model.loss(x, t, hard=step >= args.steps - args.hard)
        model.zero_grad(set_to_none=True)
        loss.backward()
        if world > 1:
            for p in model.parameters():
                if p.grad is not None:
                    dist.all_reduce(p.grad); p.grad /= world
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), args.clip)
        if not torch.isfinite(norm):
            print(f"step {step}: gradient is not finite, step skipped", flush=True)
            continue
        for opt in opts:
            opt.step()
        decay = min(args.ema, (1 + step) / (10 + step))
        with torch.no_grad():
            torch._foreach_lerp_(list(ema.values()), [p.detach() for p in model.parameters()], 1 - decay)
        seen += x.shape[0] * x.shape[2] * x.shape[3] * world
        for i, v in enumerate((loss, bpp.mean(), zbpp.mean(), mse.mean())):
            mean[i] = 0.98 * mean[i] + 0.02 * v.item() if step > start else v.item()
        if step % args.log == 0 and not rank:
            dt = time.time() - clock
            print(f"step {step} loss {mean[0]:.4f} bpp {mean[1]:.4f} z {mean[2]:.4f} psnr {-10 * math.log10(mean[3]):.2f} "
                  f"norm {norm.item():.2f} lr {lr:.2e} {seen / dt / 1e6:.3f} Mpx/s", flush=True)
            clock, seen = time.time(), 0
        if (step + 1) % args.save == 0:
            save(step + 1)
            clock, seen = time.time(), 0
    save(args.steps)


@torch.no_grad()
def parity(args):
    model = read_arch(args.arch)
    model.load(load_safetensors(args.init))
    given = load_safetensors(args.input)
    x = torch.from_numpy(given["x"].copy()).permute(0, 3, 1, 2)
    t = torch.from_numpy(given["t"].copy())
    loss, bpp, _, _ = model.loss(x, t, hard=True)
    xhat = model(x, t, True)[2].permute(0, 2, 3, 1).contiguous()
    save_safetensors(args.out, {"loss": loss.reshape(1).numpy(), "bpp": bpp.numpy(), "xhat": xhat.numpy()})


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = p.add_subparsers(dest="cmd", required=True)
    t = sub.add_parser("train")
    t.add_argument("-arch", required=True)
    t.add_argument("-data", action="append", required=True)
    t.add_argument("-valid")
    t.add_argument("-out", required=True)
    t.add_argument("-init")
    t.add_argument("-checkpoint")
    for name, kind, default in (("steps", int, 20000), ("batch", int, 8), ("crop", int, 192), ("warmup", int, 300), ("hard", int, 2000),
                                ("log", int, 50), ("save", int, 2000), ("seed", int, 1), ("lr", float, 8e-4), ("lr_end", float, 0.02),
                                ("clip", float, 1.0), ("ema", float, 0.999), ("cooldown", int, 0), ("muon_rate", float, 2.0)):
        t.add_argument("-" + name, type=kind, default=default)
    t.add_argument("-optimizer", choices=("muon", "adam"), default="muon")
    t.add_argument("-bf16", action="store_true")
    c = sub.add_parser("parity", help="loss and outputs for given weights and input, to compare with aecodec")
    c.add_argument("-arch", required=True)
    c.add_argument("-init", required=True)
    c.add_argument("-input", required=True, help="safetensors: x [N, H, W, 3] in -0.5..0.5, t [N]")
    c.add_argument("-out", required=True, help="safetensors: loss, bpp [N], xhat [N, H, W, 3]")
    args = p.parse_args()
    {"train": train, "parity": parity}[args.cmd](args)


if __name__ == "__main__":
    main()
