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
    """Depth to space of [N, H, W, C] with the block offset as the slow channel index (TensorFlow's order)."""
    n, h, w, c = x.shape
    c //= r * r
    return x.reshape(n, h, w, r, r, c).permute(0, 1, 3, 2, 4, 5).reshape(n, h * r, w * r, c)


def unshuffle(x, r):
    n, h, w, c = x.shape
    return x.reshape(n, h // r, r, w // r, r, c).permute(0, 1, 3, 2, 4, 5).reshape(n, h // r, w // r, r * r * c)


def depthwise(x, weight, bias):
    """x [N, H, W, C], weight [K, K, C]"""
    k = weight.shape[0]
    if not x.is_cuda:
        y = F.conv2d(x.permute(0, 3, 1, 2), weight.permute(2, 0, 1)[:, None], bias, padding=k // 2, groups=x.shape[3])
        return y.permute(0, 2, 3, 1)
    # On a GPU the compiler makes one kernel of the taps, which beats cuDNN's backward passes.
    h, w = x.shape[1:3]
    pad = F.pad(x, (0, 0, k // 2, k // 2, k // 2, k // 2))
    y = 0 if bias is None else bias
    for i in range(k):
        for j in range(k):
            y = y + pad[:, i:i + h, j:j + w] * weight[i, j]
    return y


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
                params[key(name, "weight")] = torch.empty(k, k, cin, out).normal_(0, math.sqrt(2.0 / (cin * k * k)))
                if not layer.get("nobias"):
                    params[key(name, "bias")] = torch.zeros(out)
            elif op == "depthwise":
                params[key(name, "weight")] = torch.empty(k, k, cin).normal_(0, math.sqrt(2.0 / (k * k)))
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

    # Layers whose outputs carry pixels or latents at full precision: never in bfloat16.
    EXACT = ("lin", "head", "mean", "deblock")

    def forward(self, *inputs, half=False):
        """inputs [N, H, W, C]; half computes in bfloat16 what is not listed above"""
        v = {p["name"]: x for p, x in zip(self.desc["inputs"], inputs)}
        for layer in self.desc["layers"]:
            name, op = layer["name"], layer["op"]
            x = v[layer["in"][0]]
            if op in ("conv", "depthwise"):
                dtype = torch.bfloat16 if half and name not in self.EXACT else torch.float32
                x, w = x.to(dtype), self.weight(name).to(dtype)
                b = None if layer.get("nobias") else self.params[key(name, "bias")].to(dtype)
            if op == "conv" and layer.get("kernel", 1) == 1:
                y = x @ w[0, 0] if b is None else F.linear(x, w[0, 0].t(), b)
            elif op == "conv":
                y = F.conv2d(x.permute(0, 3, 1, 2), w.permute(3, 2, 0, 1), b, padding=layer["kernel"] // 2).permute(0, 2, 3, 1)
            elif op == "depthwise":
                y = depthwise(x, w, b)
            elif op == "leaky":
                y = F.leaky_relu(x, layer["slope"])
            elif op == "add":
                y = x + v[layer["in"][1]]
            elif op == "concat":
                y = torch.cat([v[i] for i in layer["in"]], 3)
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

def ste(x):
    """round with the gradient of the identity"""
    return x + (torch.round(x) - x).detach()


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
        self.half = False  # bfloat16 where it does no harm
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
        """table [A, C] at positions t [N] -> [N, 1, 1, C]"""
        a = t.floor().clamp(0, self.arch["anchors"] - 2).long()
        f = (t - a)[:, None]
        return (table[a] * (1 - f) + table[a + 1] * f)[:, None, None, :]

    def lam(self, t):
        return self.lmin * (self.lmax / self.lmin) ** (t / (self.arch["anchors"] - 1))

    def noise(self, x):
        """What replaces rounding in the rate of a batch: uniform noise for y and z."""
        n, h, w, _ = x.shape
        shapes = (n, h // 16, w // 16, self.arch["m"]), (n, h // 64, w // 64, self.arch["z"])
        return [torch.rand(s, device=x.device) - 0.5 for s in shapes]

    def forward(self, x, t, noise):
        """x [N, H, W, 3] in -0.5..0.5, sides multiples of 64; t [N]; noise as above, or None for rounding
        -> bits of y, bits of z (per sample), reconstruction"""
        hard, half = noise is None, self.half
        ge = torch.exp(self.lerp(self.gain_enc, t))
        gd = torch.exp(self.lerp(self.gain_dec, t))
        gz = torch.exp(self.lerp(self.gain_z, t))
        if hard:  # the codec keeps the steps of the hyper-latent with 8 fractional bits
            gz = 256 / torch.round(256 / gz.detach()).clamp(1, 65535)
        y = self.analysis(x, half=half)
        ys = y * ge
        zs = self.hyperanalysis(y, ys, half=half).float() * gz
        zq = ste(zs).clamp(-127, 127)
        zr = zq if hard else zs + noise[1]
        z_bits = normal_bits(zr - self.lerp(self.prior_mean, t), self.lerp(self.prior_logsigma, t).expand_as(zr))
        zf = zq / gz
        h, ma = self.hypersynthesis(zf, half=half)
        s = shuffle(zf @ self.scale_weight, 4) + self.scale_bias + self.lerp(self.scale_offset, t)
        log_sigma = math.log(SIGMA_MIN) + LowerBound.apply(s, 0.0, float(LEVELS - 1)) * STEP
        yy = torch.arange(y.shape[1], device=y.device)[:, None]
        xx = torch.arange(y.shape[2], device=y.device)[None, :]
        anchor = ((yy + xx) % 2 == 0)[None, :, :, None]
        mua = ma * ge
        coded = (s >= 0.5) if hard else torch.ones_like(s)  # at level 0 the codec codes nothing
        ka = ste(ys - mua) * coded
        ya = torch.where(anchor, (ka + mua) * gd, torch.zeros_like(y))
        mn = self.context(h, ya, ma, half=half)
        mu = torch.where(anchor, mua, mn * ge)
        k = ste(ys - mu)
        r = k if hard else ys - mu + noise[0]
        y_bits = normal_bits(r, log_sigma)
        xhat = self.synthesis((k * coded + mu) * gd, half=half)
        return y_bits.sum((1, 2, 3)), z_bits.sum((1, 2, 3)), xhat

    def loss(self, x, t, noise=None):
        yb, zb, xhat = self(x, t, noise)
        pixels = x.shape[1] * x.shape[2]
        bpp = (yb + zb) / pixels
        mse = ((xhat.float() - x) ** 2).mean((1, 2, 3))
        lam = self.lam(t)
        weight = (lam / math.sqrt(self.lmin * self.lmax)) ** -0.5
        return (weight * (bpp + lam * 65025 * mse)).mean(), bpp, zb / pixels, mse

    def tensors(self):
        """Yields every parameter with its name in codec/nn, whose shapes they have."""
        for net in self.NETS:
            module = getattr(self, net)
            for layer in module.desc["layers"]:
                for kind in ("weight", "bias"):
                    if key(layer["name"], kind) in module.params:
                        yield f"{net}.{layer['name']}.{kind}", module.params[key(layer["name"], kind)]
        for name, attr in self.EXTRA.items():
            yield name, getattr(self, attr)

    def export(self):
        return {name: p.detach().float().cpu().contiguous().numpy() for name, p in self.tensors()}

    @torch.no_grad()
    def load(self, tensors):
        for name, p in self.tensors():
            v = torch.from_numpy(np.array(tensors[name], dtype=np.float32))
            if v.shape != p.shape:
                raise ValueError(f"{name}: shape {tuple(v.shape)}, want {tuple(p.shape)}")
            p.copy_(v)


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


def shrunk(picture):
    """A picture and what it looks like scaled down by up to 2."""
    from PIL import Image
    h, w = picture.shape[:2]
    return [np.asarray(Image.fromarray(picture).resize((round(w / f), round(h / f)), Image.LANCZOS)) for f in (1.19, 1.41, 1.68, 2)]


class Crops:
    """Random crops of pictures that lie in the device's memory. Half of them are scaled down, mirrored, transposed."""

    def __init__(self, pictures, size, seed, device):
        from concurrent.futures import ThreadPoolExecutor
        pictures = [p for p in pictures if min(p.shape[:2]) >= size]
        if not pictures:
            sys.exit(f"no picture has sides of {size} pixels")
        with ThreadPoolExecutor() as pool:
            versions = [[p] + [v for v in more if min(v.shape[:2]) >= size] for p, more in zip(pictures, pool.map(shrunk, pictures))]
        self.size, self.rng, self.device = size, np.random.default_rng(seed), device
        flat, self.sets, at = [], [], 0
        for vs in versions:
            rows = []
            for v in vs:
                rows.append((at, v.shape[0], v.shape[1]))
                flat.append(v.reshape(-1, 3))
                at += flat[-1].shape[0]
            self.sets.append(rows)
        self.flat = torch.from_numpy(np.concatenate(flat)).to(device)
        self.axis = torch.arange(size, device=device)

    def places(self, n):
        """Where n crops start in flat, and the steps to the next row and column: int64 [n, 3]."""
        out, r = np.empty((n, 3), np.int64), self.rng
        for i in range(n):
            rows = self.sets[r.integers(len(self.sets))]
            at, h, w = rows[r.integers(1, len(rows))] if len(rows) > 1 and r.random() < 0.5 else rows[0]
            y, x = r.integers(h - self.size + 1), r.integers(w - self.size + 1)
            sy, sx = w, 1
            if r.random() < 0.5:
                x, sx = x + self.size - 1, -1
            base = at + y * w + x
            if r.random() < 0.5:
                sy, sx = sx, sy
            out[i] = base, sy, sx
        return torch.from_numpy(out).to(self.device)

    def rates(self, n, anchors):
        """Positions between the anchors [n], spread evenly over a batch."""
        t = (np.arange(n) + self.rng.random(n)) / n * (anchors - 1)
        return torch.from_numpy(self.rng.permutation(t).astype(np.float32)).to(self.device)

    def at(self, places):
        base, sy, sx = places.unbind(1)
        i = base[:, None, None] + self.axis[None, :, None] * sy[:, None, None] + self.axis[None, None, :] * sx[:, None, None]
        return self.flat[i].float() / 255 - 0.5


def pca_init(model, pictures, rng, patches=60000):
    """Starts the linear shortcuts at the leading principal components of 16x16 patches."""
    M = model.arch["m"]
    x = np.empty((patches, 768), np.float32)
    for i in range(patches):
        p = rng.choice(pictures)
        py, px = rng.randrange(p.shape[0] - 15), rng.randrange(p.shape[1] - 15)
        x[i] = p[py:py + 16, px:px + 16].reshape(-1) / 255.0 - 0.5  # order (py*16+px)*3+c, as unshuffle16
    cov = x.astype(np.float64).T @ x.astype(np.float64) / patches  # about the origin: the mean belongs to the first component
    vals, vecs = np.linalg.eigh(cov)
    vals, vecs = vals[::-1][:M].copy(), vecs[:, ::-1][:, :M].copy()
    w = torch.from_numpy(vecs.astype(np.float32))  # [768, M]
    # the decoder's order: (by*4+bx)*48 + (py*4+px)*3 + c for pixel row by*4+py
    order = np.arange(768).reshape(4, 4, 4, 4, 3)  # by, py, bx, px, c  -> index in (y, x, c)
    order = torch.from_numpy(order.transpose(0, 2, 1, 3, 4).reshape(-1).copy())
    with torch.no_grad():
        model.analysis.weight("lin").copy_(w[None, None])
        model.synthesis.weight("lin").copy_(w[order].t()[None, None])
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


class Optimizer:
    """Muon (Jordan et al. 2024, with the scale of arXiv 2502.16982, as trainer/muon.go has it) for the 1x1 convolutions but the linear
    shortcuts, Adam for the rest. Weights, gradients and their averages each lie in one vector, so a step is a few calls."""

    def __init__(self, model, args, device):
        def is_matrix(name, p):
            return args.optimizer == "muon" and p.dim() == 4 and p.shape[0] == 1 and min(p.shape[2:]) >= 16 and not name.endswith(".lin.weight")
        named = sorted(model.tensors(), key=lambda np: not is_matrix(*np))
        ceil = lambda n: (n + 63) // 64 * 64
        total = sum(ceil(p.numel()) for _, p in named)
        self.weights, self.grads, self.m, self.v, self.ema = (torch.zeros(total, device=device) for _ in range(5))
        self.groups, self.split, at = {}, 0, 0
        self.moves = torch.ones(total, device=device)  # 0 where a step with rounded latents leaves a weight as it is
        for name, p in named:
            n = p.numel()
            self.weights[at:at + n] = p.detach().to(device).flatten()
            p.data = self.weights[at:at + n].view(p.shape)
            p.grad = self.grads[at:at + n].view(p.shape)
            if name.startswith(("analysis.", "hyperanalysis.")) or name in ("gain.enc", "gain.z"):
                self.moves[at:at + n] = 0
            if is_matrix(name, p):
                shape = tuple(p.shape[2:])
                self.groups.setdefault(tuple(sorted(shape)), []).append((at, shape))
            at += ceil(n)
            if is_matrix(name, p):
                self.split = at
        self.ema.copy_(self.weights)
        self.args, self.dtype = args, torch.bfloat16 if device.type == "cuda" else torch.float32
        # Read on the device, so that a recorded step can be replayed with other values.
        self.lr, self.decay, self.count = (torch.zeros((), device=device) for _ in range(3))
        self.norm = torch.zeros((), device=device)

    @torch.no_grad()
    def step(self, hard):
        """One step; with rounded latents without the parameters that decide which symbols are sent (trainer/optimizer.go, sendersOwn)."""
        a, split = self.args, self.split
        if hard:
            before = self.weights.clone()
            self.grads.mul_(self.moves)
        self.norm.copy_(self.grads.norm())
        # A gradient that is not finite is left out.
        self.grads.mul_((a.clip / self.norm.clamp_min(1e-12)).clamp(max=1)).nan_to_num_(0, 0, 0)
        self.count.add_(1)
        m, v, g = self.m[split:], self.v[split:], self.grads[split:]
        m.lerp_(g, 0.1)
        v.lerp_(g * g, 0.01)
        mhat, vhat = m / (1 - 0.9 ** self.count), v / (1 - 0.99 ** self.count)
        self.weights[split:].sub_(self.lr * mhat / (vhat.sqrt() + 1e-8))
        m, g = self.m[:split], self.grads[:split]
        m.lerp_(g, 1 - 0.95)
        u = g.lerp(m, 0.95)
        for (r, c), members in self.groups.items():
            x = torch.stack([u[at:at + r * c].view(s) if s == (r, c) else u[at:at + r * c].view(s).t() for at, s in members])
            x = (x / x.flatten(1).norm(dim=1).clamp_min(1e-30)[:, None, None]).to(self.dtype)
            for _ in range(5):
                b = x @ x.mT
                x = torch.baddbmm(x, torch.baddbmm(b, b, b, beta=-4.7750, alpha=2.0315), x, beta=3.4445)
            x = x.float() * (self.lr * (a.muon_rate * 0.2 * math.sqrt(c)))
            for (at, s), d in zip(members, x):
                self.weights[at:at + r * c].view(s).sub_(d if s == (r, c) else d.t())
        if hard:
            self.weights.copy_(torch.where(self.moves > 0, self.weights, before))
        self.ema.lerp_(self.weights, 1 - self.decay)

    def state(self):
        return {k: getattr(self, k) for k in ("weights", "m", "v", "ema", "count")}

    def restore(self, state):
        for k, v in self.state().items():
            v.copy_(state[k])

    def averaged(self, use):
        """Calls use with the averaged weights in place."""
        live = self.weights.clone()
        self.weights.copy_(self.ema)
        try:
            use()
        finally:
            self.weights.copy_(live)


@torch.no_grad()
def validate(model, folder, qualities=(1, 2.5, 4, 6)):
    rows = []
    pictures = load_pictures([folder])
    for t in qualities:
        bpp = psnr = 0.0
        for p in pictures:
            h, w = p.shape[0] // 64 * 64, p.shape[1] // 64 * 64
            x = torch.from_numpy(p[:h, :w].copy())[None].to(model.gain_enc.device).float() / 255 - 0.5
            yb, zb, xh = model(x, torch.full((1,), float(t), device=x.device), None)
            bpp += (yb + zb).item() / (h * w)
            q = torch.round((xh.float() + 0.5) * 255).clamp(0, 255) / 255 - 0.5
            psnr += -10 * math.log10(((q - x) ** 2).mean().item())
        rows.append((t, bpp / len(pictures), psnr / len(pictures)))
    return rows


class Step:
    """A training step on a batch of one shape; on a GPU compiled and recorded once, then replayed."""

    def __init__(self, model, opt, crops, args, hard, world):
        self.model, self.opt, self.crops, self.world = model, opt, crops, world
        self.places, self.t = crops.places(args.batch), crops.rates(args.batch, model.arch["anchors"])
        self.values = torch.zeros(4, device=crops.device)
        self.loss = model.loss
        self.hard = hard
        self.graph = None
        if crops.device.type != "cuda" or world > 1:
            return
        if not args.eager:
            self.loss = torch.compile(model.loss, dynamic=False, fullgraph=True)
        kept = {k: v.clone() for k, v in opt.state().items()}
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self.compute()
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.compute()
        opt.restore(kept)

    def compute(self):
        x = self.crops.at(self.places)
        loss, bpp, zbpp, mse = self.loss(x, self.t, None if self.hard else self.model.noise(x))
        self.opt.grads.zero_()
        loss.backward()
        if self.world > 1:
            dist.all_reduce(self.opt.grads)
            self.opt.grads.div_(self.world)
        self.opt.step(self.hard)
        with torch.no_grad():
            self.values.lerp_(torch.stack([v.detach().mean() for v in (loss, bpp, zbpp, mse)]), 0.02)

    def run(self, lr, decay):
        self.opt.lr.fill_(lr)
        self.opt.decay.fill_(decay)
        self.places.copy_(self.crops.places(self.places.shape[0]))
        self.t.copy_(self.crops.rates(self.t.shape[0], self.model.arch["anchors"]))
        self.graph.replay() if self.graph else self.compute()


def train(args):
    began = time.time()
    world = int(os.environ.get("WORLD_SIZE", 1))
    rank = int(os.environ.get("RANK", 0))
    device = torch.device("cpu")
    if torch.cuda.is_available():
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
        torch.cuda.set_device(device)
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    if world > 1:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    torch.manual_seed(args.seed)
    model = read_arch(args.arch)
    model.half = args.bf16
    pictures = load_pictures(args.data)
    if not pictures:
        sys.exit(f"{args.data}: no pictures")
    if args.init:
        model.load(load_safetensors(args.init))
    else:
        pca_init(model, pictures, random.Random(args.seed))
    model.to(device)
    opt = Optimizer(model, args, device)
    start = 0
    if args.checkpoint and os.path.exists(args.checkpoint):
        c = torch.load(args.checkpoint, map_location=device)
        opt.restore(c["opt"])
        start = c["step"]
    torch.manual_seed(args.seed + 1000 + 7919 * start + rank)
    crops = Crops(pictures, args.crop, args.seed + 7919 * start + rank, device)

    def save(step):
        if rank:
            return
        if args.checkpoint:
            torch.save({"opt": opt.state(), "step": step}, args.checkpoint + ".tmp")
            os.replace(args.checkpoint + ".tmp", args.checkpoint)

        def write():
            save_safetensors(args.out, model.export())
            if args.valid:
                print("valid", step, " ".join(f"t={t} {b:.4f}bpp {q:.3f}dB" for t, b, q in validate(model, args.valid)), flush=True)
        opt.averaged(write)

    print(f"{len(pictures)} pictures after {time.time() - began:.0f} s", flush=True)
    steps = {hard: Step(model, opt, crops, args, hard, world) for hard in ((False, True) if args.hard else (False,))}
    print(f"ready after {time.time() - began:.0f} s", flush=True)
    clock = first = time.time()
    since = start
    step, total = start, args.steps
    while step < total:
        if args.minutes and (step - start) % 50 == 0 and step > start:
            # How many steps the time allows; all phases keep their shares of it.
            torch.cuda.synchronize() if device.type == "cuda" else None
            speed = (step - start) / (time.time() - first)
            total = max(step, start + int(speed * (args.minutes * 60)))
            args.cooldown, args.hard, args.steps = int(0.4 * total), int(0.2 * total), total
            if step >= total:
                break
        now = steps[step >= total - args.hard]
        now.run(lr_at(step, args), min(args.ema, (1 + step) / (10 + step)))
        if step == start:
            for s in steps.values():
                s.values.zero_()
        if step % args.log == 0 and not rank:
            loss, bpp, z, mse = (now.values / (1 - 0.98 ** max(1, min(step - start, 10000)))).tolist()
            dt = time.time() - clock
            pixels = (step + 1 - since) * args.batch * args.crop ** 2 * world
            print(f"step {step} of {total} loss {loss:.4f} bpp {bpp:.4f} z {z:.4f} psnr {-10 * math.log10(max(mse, 1e-12)):.2f} "
                  f"norm {opt.norm.item():.2f} lr {opt.lr.item():.2e} {pixels / dt / 1e6:.3f} Mpx/s", flush=True)
            clock, since = time.time(), step + 1
        step += 1
        if step % args.save == 0 and step < total:
            save(step)
            clock, since = time.time(), step
    save(step)


@torch.no_grad()
def parity(args):
    model = read_arch(args.arch)
    model.load(load_safetensors(args.init))
    given = load_safetensors(args.input)
    x = torch.from_numpy(given["x"].copy())
    t = torch.from_numpy(given["t"].copy())
    loss, bpp, _, _ = model.loss(x, t)
    xhat = model(x, t, None)[2].contiguous()
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
    t.add_argument("-minutes", type=float, default=0, help="train for so long, whatever the steps; the last 40 %% cool down, the last 20 %% round")
    t.add_argument("-bf16", action="store_true")
    t.add_argument("-eager", action="store_true", help="do not compile on a GPU")
    c = sub.add_parser("parity", help="loss and outputs for given weights and input, to compare with aecodec")
    c.add_argument("-arch", required=True)
    c.add_argument("-init", required=True)
    c.add_argument("-input", required=True, help="safetensors: x [N, H, W, 3] in -0.5..0.5, t [N]")
    c.add_argument("-out", required=True, help="safetensors: loss, bpp [N], xhat [N, H, W, 3]")
    args = p.parse_args()
    {"train": train, "parity": parity}[args.cmd](args)


if __name__ == "__main__":
    main()
