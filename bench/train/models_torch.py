"""The models of bench/train in PyTorch, eager: make(name) gives step(*batch), one forward, backward and Adam.

The modules further down bear the names of the model's text: make(name, weights) loads what Weft's init gives. Behind the
batch they take what they would draw, so that check.py can give the same to all.
"""
import math

import torch
from torch import nn
from torch.nn import functional as F


class LeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(),
                                 nn.MaxPool2d(2), nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10))

    def forward(self, image, label):
        return F.cross_entropy(self.net(2 * image - 1), label.long())


class VAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(784, 400), nn.ReLU())
        self.mu, self.logvar = nn.Linear(400, 20), nn.Linear(400, 20)
        self.decoder = nn.Sequential(nn.Linear(20, 400), nn.ReLU(), nn.Linear(400, 784))

    def forward(self, image):
        h = self.encoder(image)
        mu, lv = self.mu(h), self.logvar(h)
        y = self.decoder(mu + torch.exp(0.5 * lv) * torch.randn_like(mu))
        nll = F.binary_cross_entropy_with_logits(y, image.flatten(1), reduction="sum") / len(image)
        return nll - 0.5 * torch.sum(1 + lv - mu**2 - torch.exp(lv)) / len(image)


class Block(nn.Module):
    def __init__(self, c, ch, emb):
        super().__init__()
        self.norm1, self.conv1, self.time = nn.GroupNorm(8, c), nn.Conv2d(c, ch, 3, padding=1), nn.Linear(emb, ch)
        self.norm2, self.conv2 = nn.GroupNorm(8, ch), nn.Conv2d(ch, ch, 3, padding=1)
        self.skip = nn.Conv2d(c, ch, 1) if c != ch else nn.Identity()

    def forward(self, x, emb):
        h = self.conv1(F.silu(self.norm1(x))) + self.time(F.silu(emb))[:, :, None, None]
        return self.skip(x) + self.conv2(F.silu(self.norm2(h)))


class Attend(nn.Module):
    def __init__(self, c, heads=4):
        super().__init__()
        self.heads, self.norm, self.qkv, self.proj = heads, nn.GroupNorm(8, c), nn.Conv2d(c, 3 * c, 1), nn.Conv2d(c, c, 1)

    def forward(self, x):
        b, c, h, w = x.shape
        q, k, v = self.qkv(self.norm(x)).reshape(b, 3, self.heads, c // self.heads, h * w).transpose(3, 4).unbind(1)
        return x + self.proj(F.scaled_dot_product_attention(q, k, v).transpose(2, 3).reshape(b, c, h, w))


class DDPM(nn.Module):
    def __init__(self, ch=32, steps=1000):
        super().__init__()
        a, b, c, e = ch, 2 * ch, 4 * ch, 4 * ch
        self.time = nn.Sequential(nn.Linear(ch, e), nn.SiLU(), nn.Linear(e, e))
        self.stem, self.in1, self.down1 = nn.Conv2d(1, a, 3, padding=1), Block(a, a, e), nn.Conv2d(a, a, 3, 2, 1)
        self.in2, self.down2, self.in3 = Block(a, b, e), nn.Conv2d(b, b, 3, 2, 1), Block(b, c, e)
        self.attend, self.out3, self.up2 = Attend(c), Block(c, c, e), nn.Conv2d(c, b, 3, padding=1)
        self.out2, self.up1, self.out1 = Block(2 * b, b, e), nn.Conv2d(b, a, 3, padding=1), Block(2 * a, a, e)
        self.out = nn.Sequential(nn.GroupNorm(8, a), nn.SiLU(), nn.Conv2d(a, 1, 3, padding=1))
        s = [math.cos((t / steps + 0.008) / 1.008 * math.pi / 2) ** 2 for t in range(steps + 1)]
        beta = torch.tensor([min(1 - s[t + 1] / s[t], 0.999) for t in range(steps)])
        self.register_buffer("abar", torch.cumprod(1 - beta, 0))
        self.register_buffer("freq", torch.exp(-math.log(10000.0) * torch.arange(ch // 2) / (ch / 2)))

    def net(self, x, t):
        angle = t[:, None].float() * self.freq
        emb = self.time(torch.cat([angle.cos(), angle.sin()], 1))
        h1 = self.in1(self.stem(x), emb)
        h2 = self.in2(self.down1(h1), emb)
        h3 = self.out3(self.attend(self.in3(self.down2(h2), emb)), emb)
        h2 = self.out2(torch.cat([self.up2(F.interpolate(h3, scale_factor=2)), h2], 1), emb)
        return self.out(self.out1(torch.cat([self.up1(F.interpolate(h2, scale_factor=2)), h1], 1), emb))

    def forward(self, image):
        x0 = 2 * image - 1
        t = torch.randint(0, len(self.abar), (len(x0),))
        noise, s = torch.randn_like(x0), self.abar[t][:, None, None, None]
        return torch.mean((self.net(s.sqrt() * x0 + (1 - s).sqrt() * noise, t) - noise) ** 2)



class DCGAN(nn.Module):
    def __init__(self, ch=64, mult=(4, 2, 1), channels=3, z=100):
        super().__init__()

        def conv_t(c, out, stride, pad):
            return nn.ConvTranspose2d(c, out, 4, stride, pad, bias=False)

        def conv(c, out, stride=2, pad=1):
            return nn.Conv2d(c, out, 4, stride, pad, bias=False)

        g = [conv_t(z, mult[0] * ch, 1, 0), nn.BatchNorm2d(mult[0] * ch), nn.ReLU()]
        for a, b in zip(mult, mult[1:]):
            g += [conv_t(a * ch, b * ch, 2, 1), nn.BatchNorm2d(b * ch), nn.ReLU()]
        d = [conv(channels, mult[-1] * ch), nn.LeakyReLU(0.2)]
        for a, b in zip(mult[::-1], mult[-2::-1]):
            d += [conv(a * ch, b * ch), nn.BatchNorm2d(b * ch), nn.LeakyReLU(0.2)]
        self.generator = nn.ModuleDict({"main": nn.Sequential(*g, conv_t(mult[-1] * ch, channels, 2, 1), nn.Tanh())})
        self.discriminator = nn.ModuleDict({"main": nn.Sequential(*d, conv(mult[0] * ch, 1, 1, 0))})
        self.z = z


def dcgan_step(weights):
    model = load(DCGAN(), weights)
    make, judge = model.generator["main"], model.discriminator["main"]
    of_g, of_d = (torch.optim.Adam(m.parameters(), lr=2e-4, betas=(0.5, 0.999)) for m in (make, judge))

    def step(image, code=None):
        fake = make((torch.randn(len(image), model.z) if code is None else code)[:, :, None, None])
        of_d.zero_grad(set_to_none=True)
        d_loss = F.softplus(-judge(2 * image - 1)).mean() + F.softplus(judge(fake.detach())).mean()
        d_loss.backward()
        of_d.step()
        of_g.zero_grad(set_to_none=True)
        for p in judge.parameters():  # the generator's loss needs no gradients of the discriminator's weights
            p.requires_grad_(False)
        g_loss = F.softplus(-judge(fake)).mean()
        g_loss.backward()
        for p in judge.parameters():
            p.requires_grad_(True)
        of_g.step()
        return d_loss + g_loss

    return step


class ResnetBlock(nn.Module):
    def __init__(self, c, ch, emb):
        super().__init__()
        self.norm1, self.conv1, self.temb_proj = nn.GroupNorm(32, c, 1e-6), nn.Conv2d(c, ch, 3, padding=1), nn.Linear(emb, ch)
        self.norm2, self.conv2 = nn.GroupNorm(32, ch, 1e-6), nn.Conv2d(ch, ch, 3, padding=1)
        if c != ch:
            self.nin_shortcut = nn.Conv2d(c, ch, 1)

    def forward(self, x, emb):
        h = self.conv1(F.silu(self.norm1(x))) + self.temb_proj(F.silu(emb))[:, :, None, None]
        return (self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x) + self.conv2(F.silu(self.norm2(h)))


class AttnBlock(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.norm = nn.GroupNorm(32, c, 1e-6)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(c, c, 1) for _ in range(4))

    def forward(self, x):
        h = self.norm(x)
        q, k, v = (f(h).flatten(2).transpose(1, 2)[:, None] for f in (self.q, self.k, self.v))
        return x + self.proj_out(F.scaled_dot_product_attention(q, k, v)[:, 0].transpose(1, 2).reshape(x.shape))


class Resample(nn.Module):
    """Half the size, or twice."""

    def __init__(self, c, up):
        super().__init__()
        self.up, self.conv = up, nn.Conv2d(c, c, 3, 1, 1) if up else nn.Conv2d(c, c, 3, 2)

    def forward(self, x):
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest") if self.up else F.pad(x, (0, 1, 0, 1)))


class Level(nn.Module):
    def __init__(self, widths, ch, emb, attn, resample):
        super().__init__()
        self.block = nn.ModuleList([ResnetBlock(c, ch, emb) for c in widths])
        self.attn = nn.ModuleList([AttnBlock(ch) for _ in widths] if attn else [])
        if resample:
            setattr(self, resample, Resample(ch, resample == "upsample"))

    def run(self, i, x, emb):
        x = self.block[i](x, emb)
        return self.attn[i](x) if len(self.attn) else x


class UNet(nn.Module):
    def __init__(self, ch=128, mult=(1, 2, 2, 2), res=2, attended=(1,)):
        super().__init__()
        e, widths, skips = 4 * ch, [m * ch for m in mult], [ch]
        self.temb = nn.ModuleDict({"dense": nn.ModuleList([nn.Linear(ch, e), nn.Linear(e, e)])})
        self.conv_in, self.down, c = nn.Conv2d(3, ch, 3, padding=1), nn.ModuleList(), ch
        for i, w in enumerate(widths):
            last = i == len(widths) - 1
            self.down.append(Level([c] + [w] * (res - 1), w, e, i in attended, None if last else "downsample"))
            skips += [w] * (res if last else res + 1)
            c = w
        self.mid = nn.ModuleDict({"block_1": ResnetBlock(c, c, e), "attn_1": AttnBlock(c), "block_2": ResnetBlock(c, c, e)})
        ups = []
        for i in reversed(range(len(widths))):
            own = [c] + [widths[i]] * res
            ups.insert(0, Level([w + skips.pop() for w in own], widths[i], e, i in attended, "upsample" if i else None))
            c = widths[i]
        self.up = nn.ModuleList(ups)
        self.norm_out, self.conv_out = nn.GroupNorm(32, ch, 1e-6), nn.Conv2d(ch, 3, 3, padding=1)
        self.register_buffer("freq", torch.tensor([math.exp(-math.log(10000.0) * i / (ch // 2 - 1)) for i in range(ch // 2)]), persistent=False)

    def forward(self, x, t):
        angle = t[:, None].float() * self.freq
        emb = self.temb["dense"][1](F.silu(self.temb["dense"][0](torch.cat([angle.sin(), angle.cos()], 1))))
        h = self.conv_in(x)
        skips = [h]
        for level in self.down:
            for i in range(len(level.block)):
                h = level.run(i, h, emb)
                skips.append(h)
            if hasattr(level, "downsample"):
                h = level.downsample(h)
                skips.append(h)
        h = self.mid["block_2"](self.mid["attn_1"](self.mid["block_1"](h, emb)), emb)
        for level in reversed(self.up):
            for i in range(len(level.block)):
                h = level.run(i, torch.cat([h, skips.pop()], 1), emb)
            if hasattr(level, "upsample"):
                h = level.upsample(h)
        return self.conv_out(F.silu(self.norm_out(h)))


class DDPMCifar(nn.Module):
    def __init__(self, steps=1000):
        super().__init__()
        self.net, self.steps = UNet(), steps
        self.register_buffer("abar", torch.cumprod(1 - torch.linspace(1e-4, 0.02, steps), 0), persistent=False)

    def forward(self, image, t=None, noise=None):
        x0 = 2 * image - 1
        if t is None:
            t, noise = torch.randint(0, self.steps, (len(x0),)), torch.randn_like(x0)
        s = self.abar[t.long()][:, None, None, None]
        return torch.mean((self.net(s.sqrt() * x0 + (1 - s).sqrt() * noise, t) - noise) ** 2)


class ViTBlock(nn.Module):
    def __init__(self, d, heads):
        super().__init__()
        self.heads, self.norm1, self.norm2 = heads, nn.LayerNorm(d, 1e-6), nn.LayerNorm(d, 1e-6)
        self.attn = nn.ModuleDict({"qkv": nn.Linear(d, 3 * d), "proj": nn.Linear(d, d)})
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(d, 4 * d), "fc2": nn.Linear(4 * d, d)})

    def forward(self, x):
        b, n, d = x.shape
        q, k, v = self.attn["qkv"](self.norm1(x)).reshape(b, n, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        x = x + self.attn["proj"](F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, d))
        return x + self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm2(x))))


class ViT(nn.Module):
    def __init__(self, size=32, patch=4, d=384, depth=12, heads=6, classes=10):
        super().__init__()
        self.cls_token, self.pos_embed = (nn.Parameter(torch.zeros(1, n, d)) for n in (1, (size // patch) ** 2 + 1))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, d, patch, patch)})
        self.blocks = nn.Sequential(*[ViTBlock(d, heads) for _ in range(depth)])
        self.norm, self.head = nn.LayerNorm(d, 1e-6), nn.Linear(d, classes)

    def forward(self, image, label):
        x = self.patch_embed["proj"](2 * image - 1).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1) + self.pos_embed
        return F.cross_entropy(self.head(self.norm(self.blocks(x))[:, 0]), label.long())


def load(model, weights):
    """The model with weights by their names in the text; what it has besides are the statistics of batch norms."""
    missing, unexpected = model.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in weights.items()}, strict=False)
    if unexpected or any(".running_" not in k and ".num_batches" not in k for k in missing):
        raise SystemExit(f"the twin in PyTorch has other weights: {unexpected} {missing}")
    return model


# model, Adam's options, decay of matrices, clipping, decay of the moving average
TRAINED = {
    "lenet": (LeNet, {"lr": 1e-3}, 1e-4, None, None),
    "vae": (VAE, {"lr": 1e-3}, 0.0, None, None),
    "ddpm": (DDPM, {"lr": 5e-4}, 0.0, 1.0, 0.999),
    "ddpm_cifar": (DDPMCifar, {"lr": 2e-4}, 0.0, 1.0, 0.9999),
    "vit": (ViT, {"lr": 1e-3}, 0.05, 1.0, None),
}


def make(name, weights=None):
    if name == "dcgan":
        return dcgan_step(weights)
    kind, options, decay, clip, ema = TRAINED[name]
    model = load(kind(), weights) if weights else kind()
    parameters = list(model.parameters())
    if decay:  # for matrices alone, as in the model's text
        groups = [{"params": [p for p in parameters if p.ndim > 1], "weight_decay": decay},
                  {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0}]
        optimiser = torch.optim.AdamW(groups, **options)
    else:
        optimiser = torch.optim.Adam(parameters, **options)
    average = [p.detach().clone() for p in parameters] if ema else None

    def step(*batch):
        optimiser.zero_grad(set_to_none=True)
        loss = model(*batch)
        loss.backward()
        if clip:
            torch.nn.utils.clip_grad_norm_(parameters, clip)
        optimiser.step()
        if average:
            torch._foreach_lerp_(average, [p.detach() for p in parameters], 1 - ema)
        return loss

    return step
