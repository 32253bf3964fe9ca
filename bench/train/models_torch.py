"""The models of bench/train in PyTorch, eager: make(name) gives step(*batch), one forward, backward and Adam."""
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


def make(name):
    model = {"lenet": LeNet, "vae": VAE, "ddpm": DDPM}[name]()
    parameters = list(model.parameters())
    if name == "lenet":  # decay for matrices alone, as in lenet.weft
        groups = [{"params": [p for p in parameters if p.ndim > 1], "weight_decay": 1e-4},
                  {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0}]
        optimiser = torch.optim.AdamW(groups, lr=1e-3)
    else:
        optimiser = torch.optim.Adam(parameters, lr=5e-4 if name == "ddpm" else 1e-3)
    average = [p.detach().clone() for p in parameters] if name == "ddpm" else None

    def step(*batch):
        optimiser.zero_grad(set_to_none=True)
        loss = model(*batch)
        loss.backward()
        if average:
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        if average:
            torch._foreach_lerp_(average, [p.detach() for p in parameters], 0.001)
        return loss

    return step
